# Three daemons that keep xenstore, one after the other, under the same clients in dom0; dom0's kernel is a client, too.
. /oxen/lib/guests.sh
. /oxen/lib/bench.sh
mkdir -p /var/lib/xenstored /etc/xen /run/xen
# At its quickest: without limits and logs, as dom0's clients have none in the others.
printf 'persistent = false\nquota-activate = false\n' >/etc/xen/oxenstored.conf

# daemon WORD COMMAND...: starts it, measures it, ends it.
daemon() {
    word=$1
    shift
    rm -f /run/xenstored/*
    "$@" &
    pid=$!
    check "$word starts" within 60 test -S /run/xenstored/socket
    say "store $word resident-empty $(resident $pid)"
    check "$word is measured" sh -c "xenstore-bench full 200 $pid >/tmp/store.out"
    while read -r name value unit; do
        say "store $word $name $value"
    done </tmp/store.out
    kill $pid
    wait $pid
}
daemon ours /oxen/bin/xenstored -N
daemon c $stock/xenstored -N
# It has no way to the kernel of this dom0, which the others serve as well.
daemon ocaml $stock/oxenstored --no-fork --no-access-log --no-domain-init --config-file /etc/xen/oxenstored.conf
