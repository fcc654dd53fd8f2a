# provider.py: plays Sendsar's API. It takes its own key and no other, and writes down what it gets.
import http.server, json, os

KEY = open(os.environ["KEY_FILE"]).read().strip()


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers["Content-Length"] or 0)).decode()
        good = self.headers["x-api-key"] == KEY
        if good:
            print(f"{self.command} {self.path} {body}".strip(), flush=True)
        text = json.dumps({"id": "r1"} if good else {"error": "unknown key"}).encode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PATCH = answer

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Api).serve_forever()
