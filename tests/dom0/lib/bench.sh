# What scenarios that measure share; after guests.sh. Figures are lines "@@ bench NAME NUMBER".
bench=$files/bench
figure() { say "bench $1 $2"; }
# timed COMMAND...: runs it; then `took` is how many instructions it took, `began` when that began.
timed() {
    microbench time /tmp/timed "$@" >/tmp/timed.out 2>&1 && read -r began took </tmp/timed && return
    say "FAIL timed: $*"
    sed 's/^/    /' /tmp/timed.out
    failures=$((failures + 1))
    began=0 took=0
}
# bare NAME WORDS [LINE...]: the configuration of a guest without an operating system (tests/bench-guest).
# Its time-stamp counter is the machine's.
bare() {
    guest=$1
    words=$2
    shift 2
    {
        echo "name = '$guest'"
        echo "kernel = '$bench'"
        echo "cmdline = '$words'"
        echo "memory = 128"
        echo "vcpus = 1"
        echo "tsc_mode = 'native'"
        for line in "$@"; do
            echo "$line"
        done
    } >"/tmp/guests/$guest.cfg"
    echo "/tmp/guests/$guest.cfg"
}
# value NAME WORD: the number that such a guest has said.
value() { sed -n "s/^%% $2 \([0-9]*\).*/\1/p" "$(log_of "$1")" | tail -n 1; }
said() { shows "$1" "^%% $2 "; }
# pair PINNED PINNED: two guests that measure with each other, each on the given CPU.
pair() {
    first=$(cat /tmp/guests/last)
    server=$((first + 1))
    rm -f "$(log_of server)" "$(log_of client)"
    check "a guest that answers" xl create -q "$(bare server "role=1 peer=$((server + 1))" "memory = 16" "cpus = '$1'")"
    check "a guest that measures" xl create -q "$(bare client "role=2 peer=$server" "memory = 16" "cpus = '$2'")"
    check "they have met" within 60 said client done
    said client done || cat "$(log_of client)" "$(log_of server)"
    check "nothing failed" sh -c "! grep -h FAIL $(log_of client) $(log_of server)"
    xl destroy server
    check "both are gone" gone client
}
# The id of the newest domain, from which the next ones follow.
newest() {
    xl create -pqe "$(bare newest '' 'memory = 16')" && domid newest >/tmp/guests/last && xl destroy newest
}
resident() { sed -n 's/^VmRSS:[[:space:]]*\([0-9]*\).*/\1/p' "/proc/$1/status"; }
