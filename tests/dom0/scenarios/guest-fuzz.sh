# A guest that attacks (tests/fuzz-guest), beside one that must not notice. oxen.seeds=N runs, from oxen.seed=N on, of
# oxen.rounds=N rounds each;
# oxen.seconds=N goes on with further seeds for that long. After each, the hypervisor's own checker finds nothing and all
# memory is back.
. /oxen/lib/guests.sh
start_tools
seeds=$(argument oxen.seeds)
seed=$(argument oxen.seed)
rounds=$(argument oxen.rounds)
seconds=$(argument oxen.seconds)
: "${seeds:=3}" "${seed:=1}" "${rounds:=20000}" "${seconds:=0}"

fuzzer() { hostile "$1" "$2" "$rounds" "on_crash = 'destroy'" "on_reboot = 'destroy'" "on_watchdog = 'destroy'"; }

check "create the guest that must not notice" create innocent
# Made once before anything is counted.
rounds_wanted=$rounds
rounds=1
xl create -q "$(fuzzer fuzz 1)" && gone fuzz 60
xl destroy fuzz 2>/dev/null
rounds=$rounds_wanted
free=$(free_pages)
n=0
began=$(cut -d. -f1 /proc/uptime)
attacked=0 silent=0
# A seed may destroy its guest at once; some of the next do not.
while [ $n -lt "$seeds" ] || { [ $attacked -lt 2000 ] && [ $n -lt $((seeds + 20)) ]; } || [ $(($(cut -d. -f1 /proc/uptime) - began)) -lt "$seconds" ]; do
    rm -f "$(log_of fuzz)"
    check "attack with seed $((seed + n))" xl create -q "$(fuzzer fuzz $((seed + n)))"
    # One that ended in a loop is as good as one that is done.
    gone fuzz 90 >/dev/null || xl destroy fuzz 2>/dev/null
    check "it is gone" gone fuzz
    # One that dies in its first round may be gone before its console was read.
    shows fuzz '^%% fuzz seed' || silent=$((silent + 1))
    last=$(sed -n 's/^%% round \([0-9]*\) .*/\1/p' "$(log_of fuzz)" | tail -n 1)
    attacked=$((attacked + ${last:-0}))
    say "seed $((seed + n)): $(grep '^%%' "$(log_of fuzz)" | tail -n 1 | tr -d '\r')"
    check "all invariants hold" checker
    check "memory is back" back "$free"
    n=$((n + 1))
done
check "$attacked rounds are an attack" [ $attacked -ge 2000 ]
check "$silent of $n said nothing" [ $((silent * 20)) -le $n ]
check "the innocent guest works" prints 42 in_guest innocent 'echo $((6 * 7))'
xl destroy innocent
check "gone" gone innocent
[ $failures = 0 ] || evidence
