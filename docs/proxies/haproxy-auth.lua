-- /etc/haproxy/haproxy-auth.lua: asks the login whose session a request carries, and sidemint for that user's chat token.

-- Asks `url` with these headers of the request; variable NAME_status is 0 where there is no answer.
local function ask(txn, name, url, timeout, headers, said)
  local sent, passed = txn.http:req_get_headers(), {}
  for _, header in ipairs(headers) do
    if sent[header] then passed[header] = { sent[header][0] } end
  end
  local answer = core.httpclient():get { url = url, headers = passed, timeout = timeout }
  txn:set_var("txn." .. name .. "_status", answer and answer.status or 0)
  for variable, header in pairs(said) do
    local lines = answer and answer.headers[header]
    txn:set_var("txn." .. name .. "_" .. variable, lines and lines[0] or "")
  end
end

core.register_action("login", { "http-req" }, function(txn)
  ask(txn, "login", "http://127.0.0.1:4180/oauth2/auth", 2000, { "cookie", "authorization" }, {
    user = "x-auth-request-user", name = "x-auth-request-preferred-username", email = "x-auth-request-email",
  })
end)

core.register_action("chat", { "http-req" }, function(txn)
  ask(txn, "chat", "http://127.0.0.1:8080/auth", 500, { "x-forwarded-user", "x-forwarded-name", "x-forwarded-email" }, {
    token = "x-chat-token", expires = "x-chat-token-expires-at", url = "x-chat-api-url",
    user = "x-chat-user-id", name = "x-chat-display-name", says = "x-chat-status",
  })
end)
