# Second stage: process 1 of the guest, with the machine's files as its root. Runs the job, reports its exit code.
base=/run/stock-kernel
share=$base/share
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
for port in /sys/class/virtio-ports/*; do
    read -r name <"$port/name" && ln -s "/dev/${port##*/}" "$base/$name"
done
exec 3>"$base/control"
say() { echo "$*" >&3; }
off() { sync; echo b >/proc/sysrq-trigger; sleep 60; }
die() { say "failed $*"; off; }

release=$(uname -r)
mkdir -p "/usr/lib/modules/$release"
mount --bind "$share/modules" "/usr/lib/modules/$release" || die "mounting the modules"

# Device nodes that load their module when they are opened, such as /dev/net/tun; udev would make them.
while read -r module node number; do
    [ "$module" != "#" ] || continue
    kind=${number%%[0-9]*}; number=${number#"$kind"}
    mkdir -p "/dev/${node%"${node##*/}"}"
    [ -e "/dev/$node" ] || mknod "/dev/$node" "$kind" "${number%:*}" "${number#*:}" || die "making /dev/$node"
done <"/usr/lib/modules/$release/modules.devname"

# Further folders: $share/N is shown at the path in $share/N.path.
for file in "$share"/*.path; do
    [ -e "$file" ] || continue
    number=${file##*/}; number=${number%.path}
    path=$(cat "$file")
    upper=$base/changes/$number/upper; work=$base/changes/$number/work
    mkdir -p "$path" "$upper" "$work"
    mount -t overlay -o "lowerdir=$share/$number,upperdir=$upper,workdir=$work" "share$number" "$path" ||
        die "mounting $path"
done
mkdir -p /run/out
mount -t virtiofs out /run/out || die "mounting the output folder"
mount -t cgroup2 -o nosuid,nodev,noexec cgroup2 /sys/fs/cgroup
ln -sfn /proc/self/fd /dev/fd
ln -sfn /proc/self/fd/0 /dev/stdin
ln -sfn /proc/self/fd/1 /dev/stdout
ln -sfn /proc/self/fd/2 /dev/stderr
hostname stock-kernel
ip link set lo up
date -s "@$(cat "$share/time")" >/dev/null

# The command gets pipes: a virtio port can be opened only once, so the command could not open /dev/stderr again.
mkfifo "$base/stdout.pipe" "$base/stderr.pipe"
cat "$base/stdout.pipe" >"$base/stdout" 3>&- &
out=$!
cat "$base/stderr.pipe" >"$base/stderr" 3>&- &
err=$!
# By its full path: busybox would take a bare "sh", and then every "ip", for its own.
setsid /bin/sh "$share/job" </dev/null >"$base/stdout.pipe" 2>"$base/stderr.pipe" 3>&- &
wait $!
code=$?

# End what the command left behind: its open pipes would keep us waiting.
for process in /proc/[0-9]*; do
    process=${process#/proc/}
    case $process in 1|$out|$err) continue ;; esac
    readlink "/proc/$process/exe" >/dev/null && kill -9 "$process"
done 2>/dev/null
wait "$out" "$err"
sync
say "code $code"
off
