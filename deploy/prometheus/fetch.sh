#!/bin/sh
# Prints a folder with prometheus, promtool, alertmanager and amtool. Nothing is installed and no service is started: Debian's
# packages are downloaded once and unpacked into a folder that stays. Where all are on the PATH, nothing is downloaded.
set -eu
wanted="prometheus promtool amtool alertmanager"
name_of() { [ "$1" != alertmanager ] || { echo prometheus-alertmanager; return; }; echo "$1"; } # Debian's name of it
here() { command -v "$1" >/dev/null || command -v "$(name_of "$1")" >/dev/null; }

found=${XDG_CACHE_HOME:-$HOME/.cache}/trivet/prometheus-debian
if [ ! -x "$found/alertmanager" ] || [ ! -d "$found/share" ]; then
    mkdir -p "$found"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    if here prometheus && here promtool && here amtool && here alertmanager; then
        for one in $wanted; do
            ln -sf "$(command -v "$one" || command -v "$(name_of "$one")")" "$found/$one"
        done
        mkdir -p "$found/share"
    else
        command -v apt-get >/dev/null || {
            echo "error: no Prometheus here: put $wanted on the PATH, or run this where apt-get is" >&2
            exit 1
        }
        cd "$work"
        download() { apt-get -q -o APT::Sandbox::User=root download prometheus prometheus-alertmanager >&2; }
        download || { apt-get -q update >&2 && download; } # a new machine has no lists yet
        for package in ./*.deb; do dpkg-deb -x "$package" unpacked; done
        # Debian's Alertmanager reads its templates from /usr/share/prometheus/alertmanager: who runs it lays this there.
        [ -d "$found/share" ] || cp -r unpacked/usr/share/prometheus/alertmanager "$found/share"
        # Whole or not at all, also when two ask for it at once: the last one to be moved is the one that is looked for.
        for one in $wanted; do mv -f "unpacked/usr/bin/$(name_of "$one")" "$found/$one"; done
    fi
fi
echo "$found"
