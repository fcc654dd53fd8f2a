-- wrk script: walks over USERS users, their requests made once at the start
local users = tonumber(os.getenv("USERS"))
local requests, turn = {}, 0

init = function()
  for user = 1, users do
    requests[user] = wrk.format("GET", nil, {
      ["X-Forwarded-User"] = string.format("user_%06d", user),
      ["X-Forwarded-Name"] = "User Number " .. user,
      ["X-Forwarded-Email"] = "user" .. user .. "@acme.example",
    })
  end
end

request = function()
  turn = turn % users + 1
  return requests[turn]
end
