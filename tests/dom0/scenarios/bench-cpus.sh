# Events between two guests on two CPUs.
. /oxen/lib/guests.sh
. /oxen/lib/bench.sh
start_tools
check "the newest domain's id" newest
pair 0 1
figure event-round-trip-cpus "$(value client event-round-trip)"
