"""Windows beside the live ones: their keys, and the script that compares one and puts it in the other's place."""

from infra.live import records_key, state_key

PREFIX = "replay:"
"""Stands before every key of a replay."""

OFFSETS = f"{PREFIX}offsets"
"""Hash: `epoch`, and for each partition the next offset."""
CHOSEN = f"{PREFIX}chosen"
"""Set: the conversations that are rebuilt."""


def keys(conversation_id: str) -> tuple[str, str]:
    """State and records of the rebuilt window."""
    return PREFIX + state_key(conversation_id), PREFIX + records_key(conversation_id)


# Records are compared by their hash. A window may begin later than the rebuilt one, where Redis had lost something.
MEND = """
-- KEYS: live state, live records, rebuilt state, rebuilt records.
-- ARGV: 1 to swap, seconds to live for a window that was lost, a live top that no record has (or nothing).
-- Answers what the live window is: same, missing, differs, behind, or ahead; and its top.
-- Where it is missing, differs or is behind, it is replaced.
local live = redis.call('HMGET', KEYS[1], 'epoch', 'top', 'base', 'bytes', 'sent', 'view')
local ours = redis.call('HMGET', KEYS[3], 'epoch', 'top', 'base', 'bytes', 'sent', 'view')
if not ours[1] then return {'same', ''} end
local top, base, sent = tonumber(live[2]), tonumber(live[3]), tonumber(live[5])
local our_top, our_base = tonumber(ours[2]), tonumber(ours[3])
local is = 'differs'
if not live[1] then
    is = 'missing'
elseif live[1] == ours[1] and top and base and sent then
    if top > our_top then
        if live[2] ~= ARGV[3] then return {'ahead', live[2]} end
    elseif top < our_top then
        is = 'behind'
    elseif live[6] == ours[6] and base >= our_base and sent <= top then
        local records = table.concat(redis.call('LRANGE', KEYS[2], 0, -1))
        local right = table.concat(redis.call('LRANGE', KEYS[4], base - our_base, -1))
        if redis.call('LLEN', KEYS[2]) == top - base and #records == tonumber(live[4])
            and redis.sha1hex(records) == redis.sha1hex(right) then return {'same', live[2]} end
    end
end
if ARGV[1] == '1' then
    local left = redis.call('PTTL', KEYS[1])
    if left < 0 then left = ARGV[2] * 1000 end
    -- What was told stays told, and what was not is told yet.
    if live[1] ~= ours[1] or not sent then sent = our_base end
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('RENAME', KEYS[3], KEYS[1])
    redis.call('HSET', KEYS[1], 'sent', math.min(sent, our_top))
    redis.call('PEXPIRE', KEYS[1], left)
    if redis.call('EXISTS', KEYS[4]) == 1 then
        redis.call('RENAME', KEYS[4], KEYS[2])
        redis.call('PEXPIRE', KEYS[2], left)
    end
end
return {is, live[2] or ''}
"""
