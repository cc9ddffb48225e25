"""Order of the jobs in a queue: runs take turns, so that a short run does not wait behind a long one.

A queue is RQ's list. Each job has a turn, a number in its hash; the list is sorted by it, and jobs of one turn keep
their order. The first waiting job of a run has the turn of the head of the list, the second one the next turn, and so
on: round robin between runs, as in fair queuing with jobs of equal size (Nagle, 1987).
"""

from __future__ import annotations

from collections.abc import Sequence

from redis import Redis
from redis.commands.core import Script
from rq.job import Job

_ADD = """
-- KEYS: hash of the job, list of the queue, hash with the last turn of each run in this queue
-- ARGV: id of the job, id of the run, prefix of the keys of jobs, then the fields of the job and their values
if redis.call("EXISTS", KEYS[1]) == 1 then return 0 end

local function turn_at(index)
    local id = redis.call("LINDEX", KEYS[2], index)
    return tonumber(redis.call("HGET", ARGV[3] .. id, "turn") or 0)
end

local length = redis.call("LLEN", KEYS[2])
if length == 0 then redis.call("DEL", KEYS[3]) end
local head = length > 0 and turn_at(0) or 0
local turn = math.max(head, tonumber(redis.call("HGET", KEYS[3], ARGV[2]) or -1) + 1)
redis.call("HSET", KEYS[3], ARGV[2], turn)
redis.call("HSET", KEYS[1], "turn", turn, unpack(ARGV, 4))

local first, last = 0, length  -- the first position with a later turn, by binary search
if length > 0 and turn_at(length - 1) <= turn then first = length end
while first < last do
    local middle = math.floor((first + last) / 2)
    if turn_at(middle) > turn then last = middle else first = middle + 1 end
end
if first == length then
    redis.call("RPUSH", KEYS[2], ARGV[1])
else
    redis.call("LINSERT", KEYS[2], "BEFORE", redis.call("LINDEX", KEYS[2], first), ARGV[1])
end
return 1
"""


class FairOrder:
    """Adds jobs to queues in the order of turns."""

    def __init__(self, connection: Redis) -> None:
        self._add: Script = connection.register_script(_ADD)

    def add(self, job: Job, queue_key: str, run_id: str, pipeline: Redis) -> None:
        """Add `job` of a run to a queue through `pipeline`, unless a job of this id exists."""
        fields = [part for field in job.to_dict().items() for part in field]
        self._add(
            keys=[job.key, queue_key, _turns_key(queue_key)],
            args=[job.id, run_id, Job.redis_job_namespace_prefix, *fields],
            client=pipeline,
        )


def forget_turns(run_id: str, queue_keys: Sequence[str], connection: Redis) -> None:
    """Forget the turns of a run whose waiting jobs were removed. Its next jobs would be placed behind these."""
    for key in queue_keys:
        connection.hdel(_turns_key(key), run_id)


def _turns_key(queue_key: str) -> str:
    return f"mssbench:turns:{queue_key}"
