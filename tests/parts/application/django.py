"""An application with the view of docs/application.md. Its urls.py stands beside it."""
import os
from wsgiref.simple_server import make_server

import django
from django.conf import settings

installed = ["django.contrib.auth", "django.contrib.contenttypes"]
settings.configure(
    SECRET_KEY="test", ROOT_URLCONF="urls", ALLOWED_HOSTS=["*"], INSTALLED_APPS=installed, MIDDLEWARE=["urls.sign_in"]
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402: only now

make_server(os.environ["HOST"], int(os.environ["PORT"]), get_wsgi_application()).serve_forever()
