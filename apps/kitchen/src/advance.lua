-- Moves one order on from one state to the next, only if it is that order and in that state. So a timer
-- can't touch a newer order of the same dish, and of many kitchens that hear of an order one cooks it.
-- KEYS: the dish (its newest order), the order
-- ARGV: the order's id, the state it must be in, the state it gets
-- Answers whether the order was moved.
local function move(key)
  local text = redis.call('GET', key)
  local read, order = pcall(cjson.decode, text or '')
  if not read or type(order) ~= 'table' or order.id ~= tonumber(ARGV[1]) or order.state ~= ARGV[2] then
    return 0
  end
  order.state = ARGV[3]
  redis.call('SET', key, cjson.encode(order), 'KEEPTTL')
  return 1
end

local newest = move(KEYS[1])
return math.max(newest, move(KEYS[2]))
