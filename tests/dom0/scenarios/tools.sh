# Debian's own Xen tools, and ours where they are, against the running hypervisor.
mkdir -p /run/xenstored
check "xenstored starts" "$stock/xenstored" --pid-file /run/xenstored.pid
check "xen-init-dom0" "$stock/xen-init-dom0"
check "xenstore answers" sh -c '[ "$(xenstore-read /local/domain/0/name)" = Domain-0 ]'

# info TOOL FIELD: one value of `xl info`.
info() { "$1" info | sed -n "s/^$2 *: //p"; }
shows() { "$@" | grep -q .; }

for xl in "$stock/xl" /oxen/bin/xl; do
    [ -x "$xl" ] || continue
    case $xl in "$stock"*) whose=stock ;; *) whose=our ;; esac
    check "$whose xl info: version" [ "$(info "$xl" xen_major).$(info "$xl" xen_minor)" = 4.17 ]
    check "$whose xl info: CPUs" [ "$(info "$xl" nr_cpus)" = "$(nproc)" ]
    check "$whose xl info: memory" [ "$(info "$xl" total_memory)" -gt "$(info "$xl" free_memory)" ]
    check "$whose xl list shows Domain-0" sh -c "$xl list | grep -q '^Domain-0 '"
    check "$whose xl vcpu-list shows every vCPU" sh -c "[ \$($xl vcpu-list | grep -c '^Domain-0 ') = $(nproc) ]"
    check "$whose xl dmesg" shows "$xl" dmesg
    check "$whose xl debug-keys" "$xl" debug-keys h
    check "the key's answer is in the log" sh -c "$xl dmesg | grep -q 'pressed -> '"
done
check "test-cpu-policy" "$stock/test-cpu-policy"
