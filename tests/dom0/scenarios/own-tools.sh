# Our own xl beside Debian's, on the same hypervisor: equal in form, and in value where the value cannot have changed
# between the two calls.
mkdir -p /run/xenstored
check "xenstored starts" "$stock/xenstored" --pid-file /run/xenstored.pid
check "xen-init-dom0" "$stock/xen-init-dom0"

theirs=$stock/xl
ours=$(command -v xl)
check "xl on the path is ours" sh -c "[ '$ours' = /oxen/bin/xl ]"

# same NAME FILTER ARGUMENTS...: both print the same behind the filter. A second and third try, since what a
# filter cannot know (a time's number of digits) may change between the calls.
same() {
    what=$1 filter=$2
    shift 2
    for _ in 1 2 3; do
        "$theirs" "$@" >/tmp/theirs.raw 2>&1
        theirs_status=$?
        "$ours" "$@" >/tmp/ours.raw 2>&1
        ours_status=$?
        "$filter" </tmp/theirs.raw >/tmp/theirs
        "$filter" </tmp/ours.raw >/tmp/ours
        cmp -s /tmp/theirs /tmp/ours && [ "$theirs_status" = "$ours_status" ] && break
    done
    check "$what: exit status" [ "$ours_status" = "$theirs_status" ]
    check "$what" diff /tmp/theirs /tmp/ours
    check "$what: there is something" [ -s /tmp/theirs.raw ]
}
whole() { cat; }
# Free memory moves when dom0 does.
steady() { sed -E '/^free_memory/s/[0-9]+$/#/'; }
# Times, the CPU of a vCPU and whether it runs now differ from call to call: their form remains.
form() { sed -E 's/ [r-][b-][p-][s-][a-zA-Z-][d-] / STATE /; s/[0-9]+\.[0-9]/T/g; s/ +(STATE|T)/ \1/g; s/ +T/ T/'; }
columns() { sed -E 's/ +[0-9-]+ +[r-][b-][p-] +[0-9]+\.[0-9]/ CPU STATE T/'; }

same "xl info" steady info
same "xl info -n" steady info -n
for field in nr_cpus cores_per_socket xen_version total_memory hw_caps virt_caps cc_compile_date; do
    same "xl info $field" whole info "$field"
done
same "xl list" form list
same "xl list 0" form list 0
same "xl list -v" form list -v
same "xl list Domain-0" form list Domain-0
same "xl vcpu-list" columns vcpu-list
same "xl vcpu-list 0" columns vcpu-list 0
same "xl dmesg" whole dmesg

# A debug key's answer in the log, whoever pressed it.
for xl in "$theirs" "$ours"; do
    "$xl" dmesg -c >/dev/null
    check "$xl debug-keys h" "$xl" debug-keys h
    "$xl" dmesg | sed -E 's/^\(XEN\) (\[[^]]*\] )?//' >"/tmp/keys.$(dirname "$xl" | tr / _)"
done
check "debug-keys: the same answer" cmp /tmp/keys.*
