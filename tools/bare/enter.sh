#!/bin/sh
# SPDX-License-Identifier: MIT
# usage: enter.sh ROOT USER DIRECTORY COMMAND...
# The first process of private namespaces: mounts what a machine has into ROOT
# and runs the command there. With this process ends all that it mounted and started.

set -eu

root=$1 user=$2 directory=$3
shift 3

mount -t proc proc "$root/proc"
mount --bind /sys "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for node in null zero full random urandom kvm; do
	[ -e "/dev/$node" ] || continue
	: >"$root/dev/$node"
	mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"

# Not `exec`: a shell reaps what loses its parent, which the first process has to.
status=0
# shellcheck disable=SC2016 # expanded inside
chroot --userspec="$user:$user" "$root" \
	sh -c 'cd "$1" && shift && exec "$@"' sh "$directory" "$@" || status=$?
exit "$status"
