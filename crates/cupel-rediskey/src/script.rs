//! What the server does in one step. Every key is declared, and what serves a tenant first looks whether
//! the organization is suspended.

/// What a script returns when the organization is suspended.
pub(crate) const SUSPENDED: i64 = -1;

/// Stores a value if the generations are still those that it was made under.
///
/// KEYS: mark of suspension, value, index, generations.
/// ARGV: value, milliseconds to live, name to be listed by (none: not listed), milliseconds that the
/// index lives, generations. Returns 1 if stored, 0 if an invalidation was faster.
pub(crate) const PUT: &str = "\
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
for i = 4, #KEYS do
  if redis.call('GET', KEYS[i]) ~= ARGV[i + 1] then return 0 end
end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
if ARGV[3] ~= '' then
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
  redis.call('ZADD', KEYS[3], now + ARGV[2], ARGV[3])
  redis.call('PEXPIRE', KEYS[3], ARGV[4])
end
return 1";

/// Removes a value. KEYS: mark of suspension, value, index. ARGV: name that it is listed by, or none.
/// Returns 1 if there was one.
pub(crate) const REMOVE: &str = "\
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
if ARGV[1] ~= '' then redis.call('ZREM', KEYS[3], ARGV[1]) end
return redis.call('UNLINK', KEYS[2])";

/// Makes a value live longer. KEYS: mark of suspension, value. ARGV: milliseconds to live. Returns 1 if
/// there was one.
pub(crate) const TOUCH: &str = "\
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
return redis.call('PEXPIRE', KEYS[2], ARGV[1])";

/// Begins a generation unless there is one. KEYS: mark of suspension, generation. ARGV: the generation that
/// begins. Returns 1 if there was none.
pub(crate) const BEGIN: &str = "\
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
redis.call('SET', KEYS[2], ARGV[1])
return 1";

/// Sets a generation, which ends the life of every value made under the one before. KEYS: mark of
/// suspension, generation. ARGV: the generation that begins.
pub(crate) const BUMP: &str = "\
if redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
redis.call('SET', KEYS[2], ARGV[1])
return 1";

/// Suspends: sets the mark, and begins a generation so that nothing written before is ever served
/// again. KEYS: mark of suspension, generation of the organization. ARGV: the generation that begins.
pub(crate) const SUSPEND: &str = "\
redis.call('SET', KEYS[1], '1')
redis.call('SET', KEYS[2], ARGV[1])
return 1";

/// Counts the KEYS that live for ever.
pub(crate) const COUNT_IMMORTAL: &str = "\
local count = 0
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) == -1 then count = count + 1 end
end
return count";
