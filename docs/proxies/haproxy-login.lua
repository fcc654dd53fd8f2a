-- /etc/haproxy/login.lua: asks the login whose session a request carries.
core.register_action("login", { "http-req" }, function(txn)
  local sent, passed = txn.http:req_get_headers(), {}
  for _, name in ipairs({ "cookie", "authorization" }) do
    if sent[name] then passed[name] = { sent[name][0] } end
  end
  local answer = core.httpclient():get { url = "http://127.0.0.1:4180/oauth2/auth", headers = passed, timeout = 2000 }
  txn:set_var("txn.login_status", answer and answer.status or 0)
  local function said(header)
    local lines = answer and answer.headers[header]
    return lines and lines[0] or ""
  end
  txn:set_var("txn.login_user", said("x-auth-request-user"))
  txn:set_var("txn.login_name", said("x-auth-request-preferred-username"))
  txn:set_var("txn.login_email", said("x-auth-request-email"))
end)
