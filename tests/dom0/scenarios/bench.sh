# Costs of single operations, and what the hypervisor keeps for itself.
if on_xen; then
    mkdir -p /run/xenstored
    "$stock/xenstored" --pid-file /run/xenstored.pid && "$stock/xen-init-dom0" >/dev/null
    # MiB of the machine that neither a domain has nor the allocator can give.
    free=$("$stock/xl" info free_memory)
    dom0=$("$stock/xl" list 0 | awk 'NR == 2 { print $3 }')
    say "memory free $free dom0 $dom0"
    # What it is used for, on the console.
    "$stock/xl" debug-keys m
fi
microbench
