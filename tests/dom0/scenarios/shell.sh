# An interactive shell on the console; leaving it powers the machine off.
if on_xen; then
    mkdir -p /var/run/xenstored
    "$stock/xenstored" --pid-file /run/xenstored.pid && "$stock/xen-init-dom0" >/dev/null ||
        echo "xenstored did not start; xl still answers what needs no store"
fi
cat <<'TEXT'

  This is dom0: Debian's own kernel. Try:
    xl info         what the hypervisor says about the machine
    xl list         the domains
    xl vcpu-list    where their vCPUs run
    xl dmesg        the hypervisor's messages
    xl debug-keys h what the debug keys do
  Stock tools are in /usr/lib/xen-4.17/bin. `exit` powers off.

TEXT
say "shell"
export PS1='dom0:\w# '
setsid cttyhack sh
