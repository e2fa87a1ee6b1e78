#!/usr/bin/python3
"""bank-sim as its customers see it: a real sshd with the OpenSSH client, HTTPS with curl, webhooks on a TLS server here.

usage: integration_test.py PATH/TO/bank-sim
"""

import base64
import collections
import hashlib
import hmac
import http.server
import json
import os
import random
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "testdata"))
import nacha  # noqa: E402

ROUTING = "091000019"
ORIGIN = "1100000001"
TODAY = time.strftime("%y%m%d", time.gmtime())
PATIENCE_S = 20


def run(*argv, check=True, **kw):
    p = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **kw)
    if check and p.returncode != 0:
        raise AssertionError("%s: %s" % (argv, p.stderr.decode()))
    return p


def wait_for(what, condition):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        got = condition()
        if got:
            return got
        time.sleep(0.02)
    raise AssertionError("waited too long for " + what)


class Webhooks(http.server.ThreadingHTTPServer):
    """A receiver that checks signatures, and can be told to fail."""

    def __init__(self, folder, secret):
        super().__init__(("127.0.0.1", 0), self.Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder + "/server.crt", folder + "/server.key")
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.secret, self.got, self.bad, self.failures = base64.b64decode(secret[6:]), [], [], 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ident, stamp = self.headers["webhook-id"], self.headers["webhook-timestamp"]
            signed = ident.encode() + b"." + stamp.encode() + b"." + body
            want = "v1," + base64.b64encode(hmac.new(self.server.secret, signed, hashlib.sha256).digest()).decode()
            if want != self.headers["webhook-signature"] or abs(time.time() - int(stamp)) > 300:
                self.server.bad.append(body)
            status = 204
            if self.server.failures > 0:
                self.server.failures -= 1
                status = 503
            else:
                self.server.got.append((ident, json.loads(body)))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    def types_of(self, key):
        return [b["type"] for _, b in list(self.got) if b["data"]["key"] == key]


class Bank:
    def __init__(self, program, folder):
        self.program, self.dir, self.process = program, folder, None
        self.secret = "whsec_" + base64.b64encode(os.urandom(32)).decode()
        self.make_keys()
        self.hooks = Webhooks(folder, self.secret)
        self.settings = {}

    def make_keys(self):
        d = self.dir
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            d + "/ca.key", "-out", d + "/ca.crt", "-days", "2", "-subj", "/CN=test ca")
        run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            d + "/server.key", "-out", d + "/server.csr", "-subj", "/CN=localhost")
        with open(d + "/ext", "w") as f:
            f.write("subjectAltName=DNS:localhost,IP:127.0.0.1,URI:spiffe://disburse/bank\n")
        run("openssl", "x509", "-req", "-in", d + "/server.csr", "-CA", d + "/ca.crt", "-CAkey", d + "/ca.key",
            "-CAcreateserial", "-out", d + "/server.crt", "-days", "2", "-extfile", d + "/ext")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", d + "/client_key")
        for name, text in (("api_key", "test-key-0123456789"), ("webhook_secret", self.secret)):
            with open(os.open(d + "/" + name, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write(text + "\n")

    def start(self, **settings):
        self.settings = settings
        d = self.dir
        lines = ["[bank]", "dir=%s/bank" % d, "ready_file=%s/ready" % d, "[https]", "cert_file=%s/server.crt" % d,
                 "key_file=%s/server.key" % d, "ca_file=%s/ca.crt" % d, "api_key_file=%s/api_key" % d,
                 "webhook_secret_file=%s/webhook_secret" % d,
                 "webhook_url=https://localhost:%d/webhooks/instant" % self.hooks.server_port, "[sftp]",
                 "authorized_key_file=%s/client_key.pub" % d, "[ach]", "routing=" + ROUTING, "origins_prefix=1",
                 "poll_ms=20"]
        with open(d + "/bank.ini", "w") as f:
            f.write("\n".join(lines) + "\n")
        env = dict(os.environ, **{"BANK_" + k.upper(): str(v) for k, v in settings.items()})
        self.log = open(d + "/bank.log", "ab")
        self.process = subprocess.Popen([self.program, "--config", d + "/bank.ini"], stderr=self.log, env=env)
        wait_for("the ready file", lambda: os.path.exists(d + "/ready") or self.process.poll() is not None)
        if self.process.poll() is not None:
            with open(d + "/bank.log") as f:
                raise AssertionError("the bank did not start:\n" + f.read())
        with open(d + "/ready") as f:
            self.ready = json.load(f)
        assert self.ready["pid"] == self.process.pid
        host_key = open(d + "/bank/sshd/ssh_host_ed25519_key.pub").read().split()
        with open(d + "/known_hosts", "w") as f:
            f.write("[127.0.0.1]:%d %s %s\n" % (self.ready["sftp_port"], host_key[0], host_key[1]))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0, "the bank did not stop cleanly"
        assert not os.path.exists(self.dir + "/ready")

    def kill(self):
        self.process.kill()
        self.process.wait()
        os.unlink(self.dir + "/ready")

    def sftp(self, *commands, check=True, key="client_key"):
        d = self.dir
        user = run("id", "-un").stdout.decode().strip()
        return run("sftp", "-q", "-b", "-", "-P", str(self.ready["sftp_port"]), "-i", d + "/" + key, "-o",
                   "UserKnownHostsFile=" + d + "/known_hosts", "-o", "StrictHostKeyChecking=yes", "-o",
                   "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-F", "none", user + "@127.0.0.1", check=check,
                   input="\n".join(commands).encode())

    def upload(self, name, data):
        local = self.dir + "/upload"
        with open(local, "wb") as f:
            f.write(data)
        self.sftp("put %s inbox/%s.tmp" % (local, name), "rename inbox/%s.tmp inbox/%s" % (name, name))

    def outbox(self):
        return sorted(n for n in os.listdir(self.dir + "/bank/sftp/outbox") if n not in ("done", "bad"))

    def output(self, name):
        path = self.dir + "/bank/sftp/outbox/" + name
        wait_for(name, lambda: os.path.exists(path))
        local = self.dir + "/download"
        self.sftp("get outbox/%s %s" % (name, local), "rename outbox/%s outbox/done/%s" % (name, name))
        with open(local, "rb") as f:
            return f.read()

    def ack(self, name):
        return json.loads(self.output(name + ".ack"))

    def curl(self, method, path, body=None, key=None, auth="test-key-0123456789", port="https_port", raw=None):
        url = "%s://localhost:%d%s" % ("https" if port == "https_port" else "http", self.ready[port], path)
        argv = ["curl", "-sS", "-X", method, "--cacert", self.dir + "/ca.crt", "-w", "\n%{http_code}", url, "-m", "20",
                "-H", "Content-Type: application/json"]
        if auth:
            argv += ["-H", "Authorization: Bearer " + auth]
        if key:
            argv += ["-H", "Idempotency-Key: " + key]
        if body is not None or raw is not None:
            argv += ["--data-binary", raw if raw is not None else json.dumps(body)]
        p = run(*argv, check=False)
        text, _, status = p.stdout.decode().rpartition("\n")
        return (int(status), json.loads(text) if text.strip() else None) if p.returncode == 0 else (0, None)

    def admin(self, method, path, body=None):
        status, answer = self.curl(method, path, body, auth=None, port="admin_port")
        assert status == 200, (status, answer)
        return answer

    def money(self, rail, currency="USD"):
        for row in self.admin("GET", "/admin/report")["by_currency"]:
            if (row["rail"], row["currency"]) == (rail, currency):
                return [row[k] for k in ("credited_count", "credited_sum", "returned_count", "returned_sum")]
        return [0, 0, 0, 0]


def key_of(text):
    return hashlib.sha256(text.encode()).hexdigest()


def payment(amount, reference="3/0190b1f0-0000-7000-8000-000000000001", **change):
    body = {"amount": amount, "currency": "USD", "reference": reference, "description": "payout",
            "creditor": {"name": "Ann Example", "routing_code": "021000021", "account_number": "12345678",
                         "account_type": "checking"}}
    body.update(change)
    return body


# --- ACH -----------------------------------------------------------------------------------------------------------------


def test_ach_happy_path(bank):
    name = "%s-20%s-A.ach" % (ORIGIN, TODAY)
    bank.upload(name, nacha.make([1000, 2050, 99901]))
    ack = bank.ack(name)
    assert (ack["status"], ack["entries"], ack["total"], ack["file"]) == ("accepted", 3, 102951, name), ack
    back = nacha.returns(bank.output("ret-%s-20%s-1.ach" % (ORIGIN, TODAY)))
    assert back == [("R01", "091000010000003", 99901)], back
    lines = bank.output(name + ".settle.1").decode().splitlines()
    assert lines[0].startswith("H,%s,1," % name) and lines[-1] == "T,2,3050", lines
    assert lines[1].startswith("D,091000010000001,1000,SETTLED,"), lines
    assert os.path.exists(bank.dir + "/bank/sftp/archive/" + name)
    assert not os.path.exists(bank.dir + "/bank/sftp/inbox/" + name)
    assert bank.money("ach") == [2, 3050, 0, 0]
    rows = bank.admin("GET", "/admin/payments?rail=ach&limit=10")
    assert [(r["times_credited"], r["status"]) for r in rows] == [(1, "settled"), (1, "settled"), (0, "returned")], rows
    assert rows[0]["payout"] == "P00000000000001"


def test_ach_rejects(bank):
    good = nacha.make([5], modifier="B", first_trace=100)
    cases = {"bad-hash": (good.replace(b"8220000001", b"8220000002"), "line 4: batch control: entry and addenda count"),
             "bad-pad": (b"\n".join(good.splitlines()[:-1]) + b"\n", "padded"),
             "bad-dest": (nacha.make([5], destination="021000021"), "immediate destination"),
             "bad-origin": (nacha.make([5], origin="9100000001"), "no agreement")}
    for name, (data, reason) in cases.items():
        bank.upload(name, data)
        ack = bank.ack(name)
        assert ack["status"] == "rejected" and reason in ack["reason"] and ack["entries"] == 0, ack
    before = bank.money("ach")
    # The same name again, the same content under another name, the same trace numbers in another file.
    name = "%s-20%s-A.ach" % (ORIGIN, TODAY)
    bank.upload(name, nacha.make([1000, 2050, 99901]))
    ack = bank.ack(name + ".duplicate-1")
    assert ack["status"] == "rejected" and "name was used" in ack["reason"], ack
    bank.upload("other.ach", nacha.make([1000, 2050, 99901]))
    assert "duplicate file" in bank.ack("other.ach")["reason"]
    bank.upload("traces.ach", nacha.make([7, 8], modifier="Z", first_trace=2))
    ack = bank.ack("traces.ach")
    assert ack["status"] == "rejected" and ack["line"] == 3 and "trace number 091000010000002 was used" in ack["reason"], ack
    assert bank.money("ach") == before
    assert name not in bank.outbox() and name + ".ack" not in bank.outbox()


def test_ach_return_after_settlement(bank):
    bank.upload("later.ach", nacha.make([100951, 300], modifier="C", first_trace=200))
    assert bank.ack("later.ach")["status"] == "accepted"
    assert bank.output("later.ach.settle.1").decode().splitlines()[-1] == "T,2,101251"
    bank.admin("POST", "/admin/flush")
    back = nacha.returns(bank.output("ret-%s-20%s-2.ach" % (ORIGIN, TODAY)))
    assert back == [("R03", "091000010000200", 100951)], back
    assert bank.money("ach")[2:] == [1, 100951]


def test_ach_large_file(bank):
    entries = [100 + n % 800 for n in range(10000)]  # none that asks for a fault
    data = nacha.make(entries, modifier="D", first_trace=1000)
    start = time.monotonic()
    bank.upload("large.ach", data)
    path = bank.dir + "/bank/sftp/outbox/large.ach.settle.1"
    wait_for("settlement", lambda: os.path.exists(path))
    took = time.monotonic() - start
    assert bank.ack("large.ach")["entries"] == 10000
    lines = bank.output("large.ach.settle.1").decode().splitlines()
    assert len(lines) == 10002 and lines[-1] == "T,10000,%d" % sum(entries)
    print("  10,000 entries: %d ms from upload to settlement report" % (took * 1000))


def test_sftp_is_closed_to_others(bank):
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", bank.dir + "/stranger")
    assert bank.sftp("ls", key="stranger", check=False).returncode != 0
    user = run("id", "-un").stdout.decode().strip()
    p = run("ssh", "-F", "none", "-p", str(bank.ready["sftp_port"]), "-i", bank.dir + "/client_key", "-o",
            "UserKnownHostsFile=" + bank.dir + "/known_hosts", "-o", "BatchMode=yes", user + "@127.0.0.1", "echo", "open",
            check=False, stdin=subprocess.DEVNULL)
    assert b"open" not in p.stdout, "a shell was given"


def test_second_bank_on_the_same_folder_is_refused(bank):
    p = run(bank.program, "--config", bank.dir + "/bank.ini", check=False)
    assert p.returncode == 1 and b"another bank works in this folder" in p.stderr, p.stderr


def test_sshd_is_restarted(bank):
    pid = int(open(bank.dir + "/bank/sshd/sshd.pid").read())
    os.kill(pid, signal.SIGKILL)
    wait_for("a new sshd", lambda: (open(bank.dir + "/bank/sshd/sshd.pid").read().strip() or str(pid)) != str(pid)
             if os.path.exists(bank.dir + "/bank/sshd/sshd.pid") else False)
    assert b"inbox" in bank.sftp("ls").stdout


# --- Instant --------------------------------------------------------------------------------------------------------------


def test_instant_happy_path(bank):
    key, ref = key_of("one"), "0/0190b1f0-0000-7000-8000-000000000001"
    status, first = bank.curl("POST", "/v1/payments", payment(12345, ref), key)
    assert status == 201 and first["status"] == "accepted" and first["reference"] == ref and first["key"] == key, first
    status, again = bank.curl("POST", "/v1/payments", payment(12345, ref), key)
    assert (status, again) == (200, first)
    assert bank.curl("POST", "/v1/payments", payment(12346, ref), key)[0] == 409
    wait_for("webhook", lambda: bank.hooks.types_of(key) == ["payment.settled"])
    status, now = bank.curl("GET", "/v1/payments/by-key/" + key)
    assert status == 200 and now["status"] == "settled" and now["payment_id"] == first["payment_id"], now
    assert bank.curl("GET", "/v1/payments/by-key/" + key_of("none")) == (404, {"error": "not_found"})
    assert bank.money("instant") == [1, 12345, 0, 0]
    inr = payment(500, currency="INR", creditor={"name": "Ravi", "routing_code": "HDFC0001234",
                                                 "account_number": "123456789012", "account_type": "savings"})
    assert bank.curl("POST", "/v1/payments", inr, key_of("inr"))[0] == 201
    assert bank.money("instant", "INR") == [1, 500, 0, 0]


def test_instant_validation(bank):
    creditor = payment(1)["creditor"]
    cases = [("amount", payment(0)), ("amount", payment(-5)), ("amount", payment(1.5)), ("amount", payment("1")),
             ("amount", payment(10**15)), ("currency", payment(1, currency="EUR")), ("reference", payment(1, reference="")),
             ("reference", payment(1, reference="a b")), ("description", payment(1, description="x" * 141)),
             ("creditor", payment(1, creditor=None)), ("extra", payment(1, extra=1)),
             ("creditor.name", payment(1, creditor=dict(creditor, name="a\nb"))),
             ("creditor.routing_code", payment(1, creditor=dict(creditor, routing_code="021000022"))),
             ("creditor.account_number", payment(1, creditor=dict(creditor, account_number=""))),
             ("creditor.account_type", payment(1, creditor=dict(creditor, account_type="loan")))]
    for field, body in cases:
        status, answer = bank.curl("POST", "/v1/payments", body, key_of("bad"))
        assert status == 400 and answer["field"] == field and answer["error"] == "invalid", (field, status, answer)
    assert bank.curl("POST", "/v1/payments", key=key_of("bad"), raw="{")[0] == 400
    assert bank.curl("POST", "/v1/payments", payment(1), "ABC")[1]["field"] == "Idempotency-Key"
    assert bank.curl("POST", "/v1/payments", payment(1), key_of("bad"), auth="wrong")[0] == 401
    assert bank.curl("POST", "/v1/payments", payment(1), key_of("bad"), auth=None)[0] == 401
    assert bank.curl("GET", "/v1/payments", key=key_of("bad"))[0] == 405
    assert bank.curl("GET", "/v1/payments/by-key/" + key_of("bad"))[0] == 404


def test_instant_faults_by_amount(bank):
    def post(amount, n=0, ref=None):
        return bank.curl("POST", "/v1/payments", payment(amount, ref or "9/ref-%d" % amount), key_of("%d-%d" % (amount, n)))

    status, answer = post(801)
    assert status == 201 and (answer["status"], answer["code"], answer["retriable"]) == ("refused", "AC04", False), answer
    for n in range(3):
        status, answer = post(1802, n)
        assert answer["status"] == ("refused" if n < 2 else "accepted") and answer["retriable"] == (n < 2), answer
    assert post(803) == (0, None)
    assert bank.curl("GET", "/v1/payments/by-key/" + key_of("803-0"))[1]["status"] == "settled"
    assert post(803)[0] == 200
    assert [post(804)[0] for _ in range(3)] == [503, 503, 201]
    start = time.monotonic()
    assert post(805)[0] == 201 and time.monotonic() - start >= 0.3
    start = time.monotonic()
    assert post(806)[0] == 201
    wait_for("late webhook", lambda: bank.hooks.types_of(key_of("806-0")) == ["payment.settled"])
    assert time.monotonic() - start >= 0.3
    assert post(807)[1]["status"] == "accepted" and post(808)[1]["status"] == "accepted"
    wait_for("twice", lambda: bank.hooks.types_of(key_of("808-0")) == ["payment.settled"] * 2)
    assert len({i for i, b in bank.hooks.got if b["data"]["key"] == key_of("808-0")}) == 1
    assert bank.hooks.types_of(key_of("807-0")) == []
    assert bank.curl("GET", "/v1/payments/by-key/" + key_of("807-0"))[1]["status"] == "settled"
    assert post(809)[0] == 201
    wait_for("return", lambda: sorted(bank.hooks.types_of(key_of("809-0"))) == ["payment.returned", "payment.settled"])
    assert bank.money("instant")[2:] == [1, 809]
    assert not bank.hooks.bad


def test_instant_is_deduplicated_under_load(bank):
    before, statuses = bank.money("instant"), []

    def post():
        statuses.append(bank.curl("POST", "/v1/payments", payment(777, "9/many"), key_of("many"))[0])

    threads = [threading.Thread(target=post) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert collections.Counter(statuses) == {201: 1, 200: 15}, statuses
    assert bank.money("instant")[0] == before[0] + 1


def test_webhooks_are_retried(bank):
    bank.hooks.failures = 3
    key = key_of("retry")
    assert bank.curl("POST", "/v1/payments", payment(50, "9/retry"), key)[0] == 201
    wait_for("webhook after failures", lambda: bank.hooks.types_of(key) == ["payment.settled"])


def test_duplicates_are_seen(bank):
    assert bank.admin("GET", "/admin/duplicates") == []
    for n in range(2):
        assert bank.curl("POST", "/v1/payments", payment(60, "9/twice"), key_of("twice-%d" % n))[0] == 201
    rows = bank.admin("GET", "/admin/duplicates")
    assert [(r["payout"], r["times_credited"]) for r in rows] == [("9/twice", 2)], rows


def test_faults_at_run_time(bank):
    answer = bank.admin("POST", "/admin/faults", {"http_500_pct": 100})
    assert answer["http_500_pct"] == 100
    assert bank.curl("POST", "/v1/payments", payment(70, "9/rt"), key_of("rt"))[0] == 500
    assert bank.curl("GET", "/v1/payments/by-key/" + key_of("rt"))[0] == 404
    assert bank.curl("POST", "/admin/faults", {"slow_pct": 101}, port="admin_port")[0] == 400
    assert bank.curl("POST", "/admin/faults", {"nonsense": 1}, port="admin_port")[0] == 400
    bank.admin("POST", "/admin/faults", {"http_500_pct": 0})
    assert bank.curl("POST", "/v1/payments", payment(70, "9/rt"), key_of("rt"))[0] == 201


def test_restart_keeps_the_books(bank):
    """Killed with a webhook undelivered and a file unsettled, nothing is lost and nothing is written twice."""
    bank.hooks.failures = 10**6
    key = key_of("restart")
    assert bank.curl("POST", "/v1/payments", payment(80, "9/restart"), key)[0] == 201
    bank.stop()
    bank.start(ach_settle_delay_ms=3600000)
    bank.upload("unsettled.ach", nacha.make([400, 500901], modifier="E", first_trace=20000))
    assert bank.ack("unsettled.ach")["status"] == "accepted"
    before = bank.money("ach")
    bank.kill()
    bank.hooks.failures = 0
    bank.start(ach_settle_delay_ms=3600000)
    wait_for("webhook", lambda: "payment.settled" in bank.hooks.types_of(key))
    assert bank.money("ach") == before
    bank.admin("POST", "/admin/flush")
    assert bank.output("unsettled.ach.settle.1").decode().splitlines()[-1] == "T,1,400"
    bank.output("ret-%s-20%s-3.ach" % (ORIGIN, TODAY))
    bank.kill()
    bank.start()
    bank.admin("POST", "/admin/flush")  # answers after a whole round over files, settlements and outputs
    assert bank.outbox() == [], bank.outbox()  # nothing came a second time
    assert bank.money("ach")[0] == before[0] + 1


def test_killed_again_and_again(bank):
    """SIGKILL at any moment: each file is booked once, and each of its outputs appears once."""
    root, before, seen, files = bank.dir + "/bank/sftp/", bank.money("ach"), collections.Counter(), {}

    def collect():
        for output in bank.outbox():
            seen[output] += 1
            os.rename(root + "outbox/" + output, root + "outbox/done/" + output)

    for n in range(10):
        name = "killed-%d.ach" % n
        files[name] = [100 + n] * 200
        data = nacha.make(files[name] + [901], modifier=str(n), first_trace=100000 + 1000 * n)
        with open(root + "inbox/" + name + ".tmp", "wb") as f:
            f.write(data)
        os.rename(root + "inbox/" + name + ".tmp", root + "inbox/" + name)
        time.sleep(0.004 * n + random.random() * 0.02)  # waits for nothing: the moment to die
        bank.kill()
        collect()
        bank.start()
    wait_for("all settled", lambda: bank.money("ach")[0] - before[0] >= 200 * len(files))
    bank.admin("POST", "/admin/flush")
    collect()
    for name in files:
        assert seen[name + ".ack"] == 1 and seen[name + ".settle.1"] == 1, (name, seen)
    assert sum(seen.values()) == 3 * len(files), seen
    assert len([n for n in seen if n.startswith("ret-")]) == len(files), seen
    after = bank.money("ach")
    assert after[0] - before[0] == 200 * len(files), (before, after)
    assert after[1] - before[1] == sum(sum(v) for v in files.values()), (before, after)
    assert bank.admin("GET", "/admin/report")["outputs_waiting"] == 0


def stop_ends_open_sessions(bank):
    """The last test: a session that is open at SIGTERM ends with the bank."""
    user = run("id", "-un").stdout.decode().strip()
    d = bank.dir
    session = subprocess.Popen(["sftp", "-q", "-P", str(bank.ready["sftp_port"]), "-i", d + "/client_key", "-o",
                                "UserKnownHostsFile=" + d + "/known_hosts", "-o", "BatchMode=yes", "-F", "none",
                                user + "@127.0.0.1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)
    session.stdin.write(b"pwd\n")
    session.stdin.flush()
    while b"sftp" not in session.stdout.readline():
        assert session.poll() is None, "the session did not begin"
    listener = open(d + "/bank/sshd/sshd.pid").read().strip()
    served_by = run("pgrep", "-P", listener).stdout.decode().split()
    assert served_by, "no process serves the session"
    bank.stop()
    left = [pid for pid in served_by + [listener] if os.path.exists("/proc/" + pid)]
    session.kill()
    session.communicate()
    assert not left, "sessions were left behind"
    print("ok   stop_ends_open_sessions")


def main():
    program = os.path.abspath(sys.argv[1])
    folder = tempfile.mkdtemp(prefix="bank-sim-test-")
    bank = Bank(program, folder)
    failed = []
    try:
        bank.start(faults_slow_ms=400, faults_webhook_late_ms=400, instant_return_delay_ms=100,
                   ach_return_delay_ms=3600000)
        for name, test in list(globals().items()):
            if name.startswith("test_") and (len(sys.argv) < 3 or name in sys.argv[2:]):
                try:
                    test(bank)
                    print("ok   " + name)
                except Exception as e:  # noqa: BLE001: each test is reported
                    failed.append(name)
                    print("FAIL %s: %s: %s" % (name, type(e).__name__, e))
        stop_ends_open_sessions(bank)
        with open(folder + "/bank.log") as f:
            log = f.read()
        assert "ERROR: AddressSanitizer" not in log and "runtime error" not in log and "LeakSanitizer" not in log, log
        left = run("pgrep", "-f", folder, check=False).stdout.decode().split()
        assert not left, "processes were left behind"
    finally:
        if bank.process.poll() is None:
            bank.process.kill()
        if failed:
            print("kept: " + folder)
        else:
            shutil.rmtree(folder)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
