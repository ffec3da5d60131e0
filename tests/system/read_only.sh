#!/bin/sh
# read_only.sh DIRECTORY COMMAND…: runs the command with every file system read-only but DIRECTORY and
# what a container has of its own (/proc, /sys, /dev with /dev/shm). Needs a mount namespace of its own.
set -eu
writable="$1"
shift
mount --make-rprivate /
mount --bind "$writable" "$writable"
while read -r _ _ _ _ place _; do
  case "$place" in
    "$writable" | /proc | /proc/* | /sys | /sys/* | /dev | /dev/*) ;;
    *) mount -o remount,bind,ro "$place" ;;
  esac
done < /proc/self/mountinfo
exec "$@"
