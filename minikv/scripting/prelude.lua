-- What scripts see: Redis's choice of Lua's functions, in tables that cannot be changed.
-- Called with the tables of our own functions by name; returns the globals, the table behind them, their metatable, and
-- for an interpreter of functions the globals that a library sees while it is loaded.
local libraries = ...
local wrap, mark, refuse = wrap, wrap("mark"), wrap("refuse")
local plain_next = next

local function protect(backing, shown)
  return setmetatable({}, {__index = backing, __newindex = refuse, [mark] = backing, shown = shown})
end

local function pick(from, names)
  local chosen = {}
  for name in names:gmatch("%S+") do
    chosen[name] = assert(from[name], name)
  end
  return chosen
end

local base = pick(_G, [[
  _VERSION assert collectgarbage error gcinfo ipairs rawequal select tonumber tostring type
]])
base.next = wrap("reader", next)
base.unpack = wrap("unpack", unpack)
base.rawget = wrap("reader", rawget)
base.rawset = wrap("writer", rawset)
base.setmetatable = wrap("writer", setmetatable)
base.getmetatable = wrap("getmetatable", getmetatable)
base.pairs = wrap("pairs", plain_next, base.next)
base.pcall = wrap("pcall")
base.xpcall = wrap("xpcall")
base.loadstring = wrap("loadstring", loadstring)

if libraries.deprecated then
  base.getfenv, base.setfenv, base.newproxy = getfenv, setfenv, newproxy
  libraries.deprecated = nil
end

local concat, raw_error, raw_pcall, raw_type, parse = table.concat, error, pcall, type, base.loadstring
function base.load(reader, name)
  if raw_type(reader) ~= "function" then
    raw_error("bad argument #1 to 'load' (function expected, got " .. (reader == nil and "no value" or raw_type(reader)) .. ")", 2)
  end
  local pieces = {}
  while true do
    local ok, piece = raw_pcall(reader)
    if not ok then
      return nil, piece
    end
    if piece == nil or piece == "" then
      return parse(concat(pieces), name or "=(load)")
    end
    if raw_type(piece) ~= "string" then
      return nil, "reader function must return a string"
    end
    pieces[#pieces + 1] = piece
  end
end

local strings = pick(string, "byte char dump find format gfind gmatch gsub len lower match rep reverse sub upper")
local tables = pick(table, "concat foreach foreachi getn maxn")
for _, name in ipairs({"insert", "remove", "setn", "sort"}) do
  tables[name] = wrap("writer", table[name])
end
local numbers = pick(math, [[
  abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min mod modf pi pow rad
  sin sinh sqrt tan tanh
]])
numbers.random, numbers.randomseed = libraries.random.random, libraries.random.randomseed
libraries.random = nil
local load_redis = libraries.load
libraries.load = nil

base.string = protect(strings)
base.table = protect(tables)
base.math = protect(numbers)
base.coroutine = protect(pick(coroutine, "create resume running status wrap yield"))
for name, functions in pairs(libraries) do
  base[name] = protect(functions)
end

local texts = getmetatable("")
texts.__index = strings
texts.shown = protect({__index = base.string})

local missing = wrap("missing")
setmetatable(base, {__index = missing})
local globals = protect(base, protect({__index = missing}))
base._G = globals
local load_globals
if load_redis then
  setmetatable(load_redis, {__index = missing})
  load_globals = setmetatable({redis = protect(load_redis)}, {__index = missing})
end
return globals, base, getmetatable(globals), load_globals
