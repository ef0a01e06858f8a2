# The store daemon (ours, or with oxen.xenstored=stock Debian's) under Debian's own clients: every
# command, restarts under the kernel's own connection. Figures of xenstore-bench at the end.
. /oxen/lib/guests.sh
mkdir -p /run/xen /run/xenstored /var/lib/xen /var/lib/xenstored
daemon=/oxen/bin/xenstored
[ "$(argument oxen.xenstored)" = stock ] && daemon=$stock/xenstored
say "daemon $daemon"
PATH=/usr/bin:$PATH

running() { kill -0 "$(cat /run/xenstored.pid)"; }
equals() { [ "$("$@" 2>&1)" = "$expected" ] || { "$@"; echo "expected: $expected"; return 1; }; }
is() { expected=$1; shift; equals "$@"; }
refuses() { ! "$@"; }

check "starts" "$daemon" --pid-file /run/xenstored.pid
check "runs" running
check "xen-init-dom0" "$stock/xen-init-dom0"
check "xen-init-dom0 wrote" is Domain-0 xenstore-read /local/domain/0/name
check "/tool/xenstored is there" xenstore-exists /tool/xenstored

check "write" xenstore-write /test/a/b value
check "read" is value xenstore-read /test/a/b
check "missing parents were made" is a xenstore-list /test
check "absent" refuses xenstore-read /test/none
check "exists" xenstore-exists /test/a
check "does not exist" refuses xenstore-exists /test/b
check "permissions" xenstore-chmod /test/a n0 r7
check "permissions are shown" sh -c 'xenstore-ls -p /test | grep -q "a = \"\".*(n0,r7)"'
check "recursive permissions" xenstore-chmod -r /test n0
check "relative path" sh -c 'xenstore-write domid-test 1 && xenstore-rm /local/domain/0/domid-test'
(xenstore-watch -n 2 /test/a >/tmp/watch.out; echo done >>/tmp/watch.out) &
check "watch fires at once" within 10 grep -q '^/test/a$' /tmp/watch.out
xenstore-write /test/a/c 1
check "and on a change below" within 10 grep -q '^/test/a/c$' /tmp/watch.out
check "remove" xenstore-rm /test/a
check "nothing is left below" is "" xenstore-list /test
for n in $(seq 300); do echo "/test/many/a-rather-long-name-of-a-node-$n $n"; done | xargs xenstore-write
check "lists longer than a message" [ "$(xenstore-list /test/many | wc -l)" = 300 ]
xenstore-rm /test

check "test-xenstore" "$stock/test-xenstore" -i 20
check "control: check" xenstore-control check
check "control: quota" sh -c 'xenstore-control quota | grep -q "^nodes  *:  *1000 Nodes per domain$"'
check "control: quota of a domain" sh -c 'xenstore-control quota 0 | grep -q "^nodes "'
check "control: set a quota" xenstore-control quota set watches 77
check "control: it is set" sh -c 'xenstore-control quota | grep -q "^watches  *:  *77 "'
check "control: nonsense" refuses xenstore-control nonsense
check "control: memreport" xenstore-control memreport /tmp/memreport
check "the kernel's own way" sh -c 'XENSTORED_PATH=/dev/xen/xenbus xenstore-read /local/domain/0/name | grep -q Domain-0 || xenstore-read -s name'

# More events at once than the kernel's ring holds: the kernel takes them while the daemon puts more in, and no request
# of its own comes that would wake the daemon. None may be left behind.
all_came() { [ "$(wc -l </tmp/bursts.out)" -ge "$1" ]; }
bursts() {
    XENSTORED_PATH=/dev/xen/xenbus xenstore-watch /bursts >/tmp/bursts.out 2>&1 &
    watcher=$!
    within 10 all_came 1 || return 1
    changes=$(for n in $(seq 60); do echo "/bursts/a-node-with-a-name-of-some-length-$n value"; done)
    for burst in $(seq "$1"); do
        xenstore-write $changes
        within 10 all_came $((burst * 60)) || { echo "burst $burst: $(wc -l </tmp/bursts.out) events came"; return 1; }
    done
    kill $watcher
    xenstore-rm /bursts
}
check "events in bursts" bursts 30

if [ "$daemon" = /oxen/bin/xenstored ]; then
    xenstore-write /keep/me "through everything"
    # A watch of a process that stays connected, and one through the kernel.
    (xenstore-watch /keep >/tmp/over.out 2>&1) &
    before=$(cat /run/xenstored.pid)
    check "live update" xenstore-control live-update -F $daemon
    check "the process is the same" [ "$(cat /run/xenstored.pid)" = "$before" ]
    check "values stay" is "through everything" xenstore-read /keep/me
    check "quotas stay" sh -c 'xenstore-control quota | grep -q "^watches  *:  *77 "'
    xenstore-write /keep/me again
    check "watches stay" within 10 grep -q '^/keep/me$' /tmp/over.out
    check "the kernel goes on" sh -c 'cat /sys/hypervisor/uuid'
    check "a live update that fails is undone" refuses xenstore-control live-update -F /nowhere
    check "and the store serves" is again xenstore-read /keep/me

    # What it saves when nothing changes any more; on a busy host later than the usual twentieth of a second.
    sleep 3
    kill -9 "$before"
    check "starts again after kill -9" "$daemon" --pid-file /run/xenstored.pid
    check "values stay" is again xenstore-read /keep/me
    check "as another process" [ "$(cat /run/xenstored.pid)" != "$before" ]
    check "consistent" xenstore-control check
    kill "$(cat /run/xenstored.pid)"
    check "ends when told to" within 10 refuses running
    check "starts again" "$daemon" --pid-file /run/xenstored.pid
    check "values stay" is again xenstore-read /keep/me
    check "test-xenstore again" "$stock/test-xenstore" -i 5
fi
/oxen/bin/xenstore-bench quick | sed 's/^/@@ bench /'
