<?php
// An application with the controller of docs/application.md. A header stands for the session of its own sign-in.
require '/usr/share/php/Illuminate/autoload.php';
require '/usr/share/php/GuzzleHttp/autoload.php';
require __DIR__ . '/ChatController.php';

use App\Http\Controllers\ChatController;
use Illuminate\Auth\GenericUser;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Route;

foreach (['bootstrap/cache', 'config'] as $folder) {
    is_dir(__DIR__ . "/$folder") || mkdir(__DIR__ . "/$folder", 0700, true);
}
$providers = [Illuminate\Filesystem\FilesystemServiceProvider::class, Illuminate\View\ViewServiceProvider::class];
$configuration = [
    'app' => ['env' => 'testing', 'debug' => true, 'timezone' => 'UTC', 'locale' => 'en', 'providers' => $providers, 'aliases' => []],
    'view' => ['paths' => [__DIR__], 'compiled' => __DIR__],
];
foreach ($configuration as $name => $values) {
    file_put_contents(__DIR__ . "/config/$name.php", '<?php return ' . var_export($values, true) . ';');
}

$app = new Illuminate\Foundation\Application(__DIR__);
$app->singleton(Illuminate\Contracts\Http\Kernel::class, Illuminate\Foundation\Http\Kernel::class);
$app->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, Illuminate\Foundation\Exceptions\Handler::class);
$app->booted(function () {
    Route::get('/chat/session', ChatController::class);
    Route::get('/sign-out', fn (Request $request) => response('', ChatController::sidemint('DELETE', $request->user())->status()));
});
$request = Request::capture();
$user = $request->header('X-Test-User') === '7' ? new GenericUser(['id' => 7, 'name' => 'Ålice 李']) : null;
$request->setUserResolver(fn () => $user);
$app->make(Illuminate\Contracts\Http\Kernel::class)->handle($request)->send();
