-- Stores a new order and announces it in one step: no one hears of an order that is not stored, and
-- of two orders of a dish at once the one with the higher number is the newest.
-- KEYS: the dish, the counter of orders
-- ARGV: the order as JSON without its id, the channel, how many seconds a single order is kept
local order = cjson.decode(ARGV[1])
order.id = redis.call('INCR', KEYS[2])
local text = cjson.encode(order)
redis.call('SET', KEYS[1], text)
redis.call('SET', KEYS[1] .. ':' .. order.id, text, 'EX', ARGV[3])
redis.call('PUBLISH', ARGV[2], text)
return text
