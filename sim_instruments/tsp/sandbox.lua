-- The inside of a TSP box: the scripts' environment, the limits they cannot catch, and waiting.
-- Runs once with the whole Lua 5.1 library at hand; scripts see nothing but `env`.
-- host.print(line), host.random(), host.rep_limit: see runtime.py.

local host = ...

local create, resume, yield, status = coroutine.create, coroutine.resume, coroutine.yield, coroutine.status
local sethook, raw_error, raw_tostring, raw_type = debug.sethook, error, tostring, type
local rep, concat, sformat, gsub = string.rep, table.concat, string.format, string.gsub
local select, next, unpack, setfenv, loadstring = select, next, unpack, setfenv, loadstring
local raw_pcall, cpu_s, kilobytes = pcall, os.clock, function() return collectgarbage("count") end
local sort, find, gmatch = table.sort, string.find, string.gmatch
local setmetatable, rawget = setmetatable, rawget

collectgarbage("setpause", 150) -- near the memory limit garbage must not be what fails a script
debug.setmetatable("", nil) -- strings have no methods in Lua 5.0

-- Limits ------------------------------------------------------------------------------------------

local STEP = 1000                       -- instructions between two looks at the budget
local OUT_OF_MEMORY = "not enough memory" -- Lua's own text
local WAIT = {}                         -- yielded when the box has to wait for its clock
local killed, steps_left, cpu_end
local cpu_left = 0

local function limit()
  steps_left = steps_left - 1
  if steps_left < 0 or cpu_s() > cpu_end then
    killed = killed or "instruction budget exhausted"
    raw_error(killed, 0)
  end
end

local function kill(reason)
  killed = reason
  raw_error(reason, 0)
end

local function guarded(f)
  if raw_type(f) ~= "function" then
    raw_error("attempt to call a " .. raw_type(f) .. " value", 0)
  end
  local thread = create(function(...) return f(...) end)
  sethook(thread, limit, "", STEP)
  return thread
end

local function fatal(message)
  if killed then raw_error(killed, 0) end
  if message == OUT_OF_MEMORY then kill(OUT_OF_MEMORY) end
end

-- Scripts' environment ------------------------------------------------------------------------------

local env = {}
env._G = env
env._VERSION = "Lua 5.0.2"

for name in gmatch("assert error getmetatable next pairs rawequal rawget rawset setmetatable " ..
                   "tonumber type unpack", "%a+") do
  env[name] = _G[name]
end
env.ipairs = ipairs

local precision = "%.5e"
local function number_text(x)
  if x ~= x then return sformat(precision, 9.91e37) end
  if x == math.huge then return sformat(precision, 9.9e37) end
  if x == -math.huge then return sformat(precision, -9.9e37) end
  return sformat(precision, x)
end

local function text(value)
  if raw_type(value) == "number" then return number_text(value) end
  return raw_tostring(value)
end

env.tostring = text
env.print = function(...)
  local parts = {}
  for i = 1, select("#", ...) do parts[i] = text((select(i, ...))) end
  host.print(concat(parts, "\t"))
end
env.gcinfo = function() return kilobytes() end
env.collectgarbage = function() return 0 end

-- pcall runs its function in a thread, so that a wait passes through it
local function after_call(thread, ok, ...)
  if not ok then
    fatal(...)
    return false, ...
  end
  if status(thread) == "suspended" then
    return after_call(thread, resume(thread, yield(...)))
  end
  return true, ...
end
env.pcall = function(f, ...)
  local thread = guarded(f)
  return after_call(thread, resume(thread, ...))
end
env.xpcall = function(f, handler)
  local function settle(ok, ...)
    if ok then return true, ... end
    return false, handler(...)
  end
  return settle(env.pcall(f))
end

local function after_resume(thread, ok, ...)
  if not ok then
    fatal(...)
    return false, ...
  end
  if (...) == WAIT then
    return after_resume(thread, resume(thread, yield(WAIT)))
  end
  return true, ...
end
local function wrapped(ok, ...)
  if not ok then raw_error((...), 0) end
  return ...
end
local function user_resume(thread, ...) return after_resume(thread, resume(thread, ...)) end
env.coroutine = {
  create = guarded,
  resume = user_resume,
  wrap = function(f)
    local thread = guarded(f)
    return function(...) return wrapped(user_resume(thread, ...)) end
  end,
  status = status,
  yield = yield,
}

-- Patterns with many repeats take time that no instruction count sees.
local function bounded(subject, pattern)
  if raw_type(subject) == "number" then subject = raw_tostring(subject) end
  if raw_type(subject) == "string" and raw_type(pattern) == "string" then
    local _, repeats = gsub(pattern, "[%*%+%-]", "")
    if repeats > 1 and (#subject + 1) ^ repeats > 1e8 then kill("pattern too complex") end
  end
end

local s = string
env.string = {
  byte = s.byte, char = s.char, format = s.format, len = s.len, lower = s.lower, sub = s.sub, upper = s.upper,
  find = function(subject, pattern, init, plain)
    if not plain then bounded(subject, pattern) end
    return find(subject, pattern, init, plain)
  end,
  gfind = function(subject, pattern)
    bounded(subject, pattern)
    return gmatch(subject, pattern)
  end,
  gsub = function(subject, pattern, replacement, count)
    bounded(subject, pattern)
    return gsub(subject, pattern, replacement, count)
  end,
  rep = function(part, count)
    if raw_type(part) == "string" and raw_type(count) == "number" and (#part + 1) * count > host.rep_limit then
      kill(OUT_OF_MEMORY)
    end
    return rep(part, count)
  end,
}

env.table = {
  concat = concat, insert = table.insert, remove = table.remove, sort = sort,
  foreach = function(t, f)
    for k, v in next, t do
      local result = f(k, v)
      if result ~= nil then return result end
    end
  end,
  foreachi = function(t, f)
    for i = 1, #t do
      local result = f(i, t[i])
      if result ~= nil then return result end
    end
  end,
  getn = function(t)
    local n = rawget(t, "n")
    return raw_type(n) == "number" and n or #t
  end,
  setn = function(t, n) t.n = n end,
}

local m = math
env.math = {
  abs = m.abs, acos = m.acos, asin = m.asin, atan = m.atan, atan2 = m.atan2, ceil = m.ceil, cos = m.cos,
  deg = m.deg, exp = m.exp, floor = m.floor, frexp = m.frexp, ldexp = m.ldexp, log = m.log, log10 = m.log10,
  max = m.max, min = m.min, mod = m.fmod, pi = m.pi, pow = m.pow, rad = m.rad, sin = m.sin, sqrt = m.sqrt,
  tan = m.tan, randomseed = function() end,
  -- from the bench's own stream: C's rand() would make two runs of one seed differ
  random = function(low, high)
    local u = host.random()
    if not low then return u end
    if not high then low, high = 1, low end
    return m.floor(low + u * (high - low + 1))
  end,
}

env.__for_in = function(f, state, first)
  if raw_type(f) == "table" then return next, f, nil end
  return f, state, first
end

-- The box's commands: proxies that ask the host --------------------------------------------------------

local DONE, PENDING = 0, 1

local function settle(outcome, ...)
  if outcome == DONE then return ... end
  if outcome == PENDING then
    yield(WAIT)
    return settle((...)())
  end
  raw_error((...), 0)
end

local objects = setmetatable({}, { __mode = "k" })

local tools = {}

function tools.method(call)
  return function(...) return settle(call(...)) end
end

-- fixed: children, methods and constants; getters, setters: attributes; at: indexed access
function tools.proxy(path, fixed, getters, setters, at, token)
  local proxy = {}
  objects[proxy] = token
  return setmetatable(proxy, {
    __index = function(_, key)
      local value = fixed[key]
      if value ~= nil then return value end
      local get = getters[key]
      if get then return settle(get()) end
      if at and raw_type(key) == "number" then return settle(at(key)) end
      raw_error("attempt to read unknown attribute " .. path .. "." .. raw_tostring(key), 0)
    end,
    __newindex = function(_, key, value)
      local set = setters[key]
      if not set then
        local why = (fixed[key] ~= nil or getters[key]) and "read-only" or "unknown"
        raw_error("attempt to write " .. why .. " attribute " .. path .. "." .. raw_tostring(key), 0)
      end
      settle(set(value))
    end,
    __call = rawget(fixed, "__call"),
    __metatable = "protected",
  })
end

function tools.same(a, b) return rawequal(a, b) end
function tools.token(value) return objects[value] end
function tools.define(name, value) env[name] = value end
function tools.lookup(name) return rawget(env, name) end
function tools.precision(format) precision = format end

-- the table itself if its values come in order when it is walked, else a copy that does; nil if it has
-- holes, an error if it holds anything that is no number (the subtraction is the check: this loop is hot)
function tools.numbers(t)
  local count, ordered, check = 0, true, 0
  for key, value in next, t do
    count = count + 1
    check = value - value
    if key ~= count then ordered = false end
  end
  if ordered then return t, count end
  if rawget(t, "n") then count = count - 1 end
  local copy = {}
  for i = 1, count do
    if t[i] == nil then return nil end
    copy[i] = t[i]
  end
  return copy, count
end

-- values first..last of a table as they are
function tools.part(t, first, last) return unpack(t, first, last) end

-- true for 1..n of numbers, and at least one
function tools.only_numbers(t)
  local count = 0
  for key, value in next, t do
    count = count + 1
    if raw_type(value) ~= "number" or raw_type(key) ~= "number" or t[count] == nil then return false end
  end
  return count > 0
end

function tools.list(...) return { ... } end
function tools.extend(t, ...)
  local n = #t
  for i = 1, select("#", ...) do t[n + i] = (select(i, ...)) end
end

function tools.compile(source, name)
  local chunk, message = loadstring(source, name)
  if not chunk then return nil, message end
  return setfenv(chunk, env)
end

local running
function tools.start(chunk) running = guarded(chunk) end
function tools.stop() running = nil end

-- the budget of one script, from its start to its end, waits not counted
function tools.fuel(instructions, seconds)
  killed, steps_left, cpu_left = nil, instructions / STEP, seconds
end

-- one stretch of a script: "done" | "wait" | "error", message
function tools.step()
  local thread = running
  cpu_end = cpu_s() + cpu_left
  local ok, message = resume(thread)
  cpu_left = cpu_end - cpu_s()
  if not ok then return "error", killed or message end
  if status(thread) == "dead" then return "done" end
  if message == WAIT then return "wait" end
  return "error", "attempt to yield from outside a coroutine"
end

-- names that a script made, with their plain values; and forgetting them
local own = {}
function tools.seal()
  for name in next, env do own[name] = true end
end
function tools.user_names()
  local names = {}
  for name in next, env do
    if raw_type(name) == "string" and not own[name] and not find(name, "^__") then names[#names + 1] = name end
  end
  return concat(names, "\n")
end


-- after a script ran out of memory: what it dropped is freed; if what it kept leaves no room for the
-- next command, its names are forgotten
function tools.collect()
  collectgarbage("collect")
  if kilobytes() * 1024 > host.rep_limit * 0.75 then
    for name in next, env do
      if not own[name] then env[name] = nil end
    end
    collectgarbage("collect")
  end
end

-- plain data as (key, value) pairs in one list, for a snapshot
function tools.pairs_of(t)
  local flat = {}
  for key, value in next, t do
    flat[#flat + 1] = key
    flat[#flat + 1] = value
  end
  return flat
end
function tools.table_of(...)
  local t = {}
  for i = 1, select("#", ...), 2 do t[(select(i, ...))] = (select(i + 1, ...)) end
  return t
end

return tools
