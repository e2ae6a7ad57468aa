#!/bin/sh
# Runs a command as its container would: another root, read-only but for the data folder, /tmp and /dev/shm; user 10001
# without capabilities; a process tree of its own, of which it is the first. Needs root, and unshare, chroot and setpriv.
#   contained.sh ROOT DATA "FOLDERS" COMMAND...    FOLDERS are there as they are here, to be read
# To be started by `unshare --mount --pid --fork --kill-child`.
set -eu
root=$1 data=$2 folders=$3
shift 3
mount --make-rprivate /
mount -t tmpfs -o mode=0755 tmpfs "$root"
for folder in /usr /bin /sbin /lib /lib64 /etc $folders; do
    [ -e "$folder" ] || continue
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
    mount -o remount,bind,ro "$root$folder"
done
mkdir -p "$root/proc" "$root/sys" "$root/dev" "$root/tmp" "$root/var/lib/trivet"
mount -t proc proc "$root/proc"
mount --bind /sys "$root/sys"
mount -t tmpfs -o mode=0755 tmpfs "$root/dev"
for device in null zero random urandom; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=1g tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=512m tmpfs "$root/tmp"
mount --bind "$data" "$root/var/lib/trivet"
# A folder that lies below /tmp or /dev/shm is hidden by these, and comes on top of them again.
for folder in $folders; do
    case $folder in
        /tmp/* | /dev/shm/*) mkdir -p "$root$folder" && mount --bind "$folder" "$root$folder" ;;
    esac
done
mount -o remount,bind,ro "$root/dev"
mount -o remount,ro "$root"
exec chroot "$root" setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all "$@"
