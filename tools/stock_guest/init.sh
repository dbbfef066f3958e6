#!/bin/busybox sh
# First stage of the stock-kernel guest: runs from the initial RAM disk, makes the root file system, goes there.
set -e
export PATH=/bin
/bin/busybox --install -s /bin
mount -t devtmpfs dev /dev
for module in $(cat /modules/order); do insmod "/modules/$module"; done
mount -t virtiofs -o ro share /share
# Each shared folder is a mount of its own; entering it makes the kernel mount it.
for folder in /share/*/; do ls -d "$folder." >/dev/null; done

mount -t tmpfs -o mode=755,size=75% changes /changes
mkdir -p /changes/root/upper /changes/root/work
mount -t overlay -o "lowerdir=/share/root,upperdir=/changes/root/upper,workdir=/changes/root/work" root /root
cd /root
mkdir -p dev proc sys run tmp usr/lib/modules
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec sys sys
mount -t tmpfs -o mode=755,nosuid,nodev run run
mount -t tmpfs -o mode=1777,nosuid,nodev,size=75% tmp tmp
mount --move /dev dev
mkdir -p dev/pts dev/shm run/lock run/stock-kernel/changes run/stock-kernel/share
mount -t devpts -o mode=620,gid=5,ptmxmode=666 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
mount --move /changes run/stock-kernel/changes
mount --move /share run/stock-kernel/share
cp /start.sh /bin/busybox run/stock-kernel/
exec switch_root /root /run/stock-kernel/busybox sh /run/stock-kernel/start.sh
