-- wrk script: walks over USERS users, or the signed tokens in the file TOKENS; their requests are made once at the start.
-- Where RAW is given, it is the one request of all.
local users = tonumber(os.getenv("USERS"))
local tokens = os.getenv("TOKENS") or ""
local raw = os.getenv("RAW") or ""
local requests, turn = {}, 0

init = function()
  if raw ~= "" then
    requests[1] = raw
    return
  end
  if tokens ~= "" then
    for token in io.lines(tokens) do
      requests[#requests + 1] = wrk.format("GET", nil, { ["Authorization"] = "Bearer " .. token })
    end
    return
  end
  for user = 1, users do
    requests[user] = wrk.format("GET", nil, {
      ["X-Forwarded-User"] = string.format("user_%06d", user),
      ["X-Forwarded-Name"] = "User Number " .. user,
      ["X-Forwarded-Email"] = "user" .. user .. "@acme.example",
    })
  end
end

request = function()
  turn = turn % #requests + 1
  return requests[turn]
end
