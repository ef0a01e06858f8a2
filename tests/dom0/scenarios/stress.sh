# stress-ng's classes, one after the other; oxen.seconds=N each.
seconds=$(argument oxen.seconds)
: "${seconds:=6}"
cpus=$(nproc)
stress() {
    check "stress-ng $1" timeout $((seconds * 20 + 120)) stress-ng --quiet --timeout "${seconds}s" --temp-path /tmp "$@"
}
stress --cpu "$cpus"
stress --vm "$cpus" --vm-bytes 64M
stress --fork "$cpus"
stress --switch "$cpus"
stress --timer "$cpus"
stress --signal "$cpus"
stress --mmap "$cpus" --mmap-bytes 64M
