# receiver.py
import base64, hashlib, hmac, http.server, os, time

KEY = base64.b64decode(open(os.environ["KEY_FILE"]).read().strip().removeprefix("whsec_"))
seen = set()  # in your application: a table with a unique column, written in the transaction of the event


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        id, sent = self.headers["webhook-id"] or "", self.headers["webhook-timestamp"] or "0"
        mac = hmac.new(KEY, f"{id}.{sent}.".encode() + body, hashlib.sha256).digest()
        good = b"v1," + base64.b64encode(mac)
        proofs = (self.headers["webhook-signature"] or "").encode().split()
        proven = any(hmac.compare_digest(good, proof) for proof in proofs) and abs(time.time() - int(sent)) < 300
        if proven and id not in seen:
            print(self.headers["sidemint-event"], body.decode(), flush=True)
            seen.add(id)
        self.send_response(204 if proven else 401)
        self.end_headers()


http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Hook).serve_forever()
