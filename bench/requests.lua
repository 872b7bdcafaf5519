-- wrk's part: send requests that were written before, each a head of its own and one body for all.
--   wrk -s requests.lua URL -- HEADS [BODY]
-- HEADS holds the heads one after the other, each with its length before it in decimal and LF.

local heads, body, at = {}, "", 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1)
    heads[#heads + 1] = file:read(length)
  end
  file:close()
  if args[2] then
    file = assert(io.open(args[2], "rb"))
    body = file:read("*a")
    file:close()
  end
end

function request()
  at = at % #heads + 1
  if body == "" then return heads[at] end
  return heads[at] .. body
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"status":%d,"socket":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
