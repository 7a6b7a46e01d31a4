#!/bin/bash
# Makes this machine a node of its cluster: mounts its data disks, joins the tailnet where there is one, installs k3s
# and starts it. What is particular to the machine stands in the settings; the same script runs on all of them, at each
# start, and changes nothing where all is as it shall be. Nothing secret is an argument of a command or is printed.
set -euo pipefail

# shellcheck source=/dev/null
. /etc/clowder/bootstrap.conf

say() { echo "clowder-bootstrap: $*"; }
die() {
    say "$*" >&2
    exit 1
}

sha256_of() { sha256sum "$1" | cut -d ' ' -f 1; }

# obtain SOURCE SHA256 FILE MODE: FILE has that checksum. SOURCE is a URL, or a file of the image. What does not have the
# checksum never gets FILE's name.
obtain() {
    local source=$1 sha256=$2 file=$3 mode=$4 found
    if [ -f "$file" ] && [ "$(sha256_of "$file")" = "$sha256" ]; then
        chmod "$mode" "$file"
        return
    fi
    install -d -m 0755 "${file%/*}"
    rm -f "$file.part"
    case $source in
        /*)
            [ -f "$source" ] || die "$source is not in this image: take one that has it, or give a URL"
            cp "$source" "$file.part"
            ;;
        *)
            command -v curl >/dev/null || die "curl is not in this image, and $source cannot be fetched without it"
            say "fetching $source"
            curl -fsSL --proto '=http,https' --retry 8 --retry-connrefused --connect-timeout 20 --max-time 3600 \
                -o "$file.part" "$source" || die "$source cannot be fetched"
            ;;
    esac
    found=$(sha256_of "$file.part")
    if [ "$found" != "$sha256" ]; then
        rm -f "$file.part"
        die "$source has the checksum $found, and $sha256 is the right one: it is not installed"
    fi
    chmod "$mode" "$file.part"
    mv -f "$file.part" "$file"
}

# find_disk SERIAL: the whole disk with that serial number. Its links in /dev/disk/by-id are of no use: Oxide's disks have
# no model, and udev makes the link with the serial number only for those that have both.
find_disk() {
    local file serial
    for file in /sys/block/*/device/serial /sys/block/*/serial; do
        [ -f "$file" ] || continue
        read -r serial <"$file" || true
        if [ "$serial" = "$1" ]; then
            file=${file#/sys/block/}
            echo "/dev/${file%%/*}"
            return
        fi
    done
    return 1
}

# mount_data_disk SERIAL FOLDER: that disk is mounted at FOLDER, now and at each start. Only a disk without any signature
# is formatted.
mount_data_disk() {
    local serial=$1 folder=$2 disk found uuid tries=0
    until disk=$(find_disk "$serial") && [ -b "$disk" ]; do
        tries=$((tries + 1))
        [ "$tries" -le "$DISK_WAIT_SECONDS" ] || die "no disk with serial number $serial after $DISK_WAIT_SECONDS seconds"
        sleep 1
    done
    found=$(wipefs --noheadings --output TYPE "$disk" | xargs)
    case $found in
        '')
            say "formatting $disk (serial number $serial), which is empty"
            mkfs.ext4 -q -m 0 "$disk"
            ;;
        ext4) ;;
        *) die "$disk (serial number $serial) holds $found and is left alone: attach an empty disk, or one with ext4" ;;
    esac
    uuid=$(blkid -p -o value -s UUID "$disk")
    install -d -m 0755 "$folder"
    if ! grep -q "^UUID=$uuid " /etc/fstab; then
        echo "UUID=$uuid $folder ext4 defaults,noatime,nofail,x-systemd.growfs 0 2" >>/etc/fstab
        systemctl daemon-reload
    fi
    if ! mountpoint -q "$folder"; then
        # One that was used before, and may have grown since. 1 is a filesystem that was put right.
        e2fsck -f -p "$disk" >/dev/null || [ $? -eq 1 ] || die "the filesystem of $disk (serial number $serial) is broken"
        resize2fs "$disk" >/dev/null 2>&1 || die "the filesystem of $disk (serial number $serial) does not grow with it"
        # By its device: udev may not know the new filesystem's UUID yet, and with nofail nobody would hear of it.
        mount -o noatime "$disk" "$folder"
    fi
}

# write FILE: standard input becomes its content, readable by root alone.
write() {
    local new
    new=$(mktemp "$1.XXXXXX")
    cat >"$new"
    if cmp -s "$new" "$1"; then rm -f "$new"; else mv -f "$new" "$1"; fi
}

# Joins the tailnet, once, and tells k3s the machine's address there: servers answer under it, services of the others are
# published under it.
join_tailnet() {
    local unpacked program address key=/etc/clowder/tailscale.key archive=/var/lib/clowder/tailscale.tgz
    obtain "$TAILSCALE_SOURCE" "$TAILSCALE_SHA256" "$archive" 0644
    unpacked=$(mktemp -d)
    tar -xzf "$archive" -C "$unpacked" --strip-components 1 --no-same-owner
    for program in tailscale tailscaled; do
        cmp -s "$unpacked/$program" "/usr/local/bin/$program" || install -m 0755 "$unpacked/$program" /usr/local/bin/
    done
    rm -rf "$unpacked"
    systemctl enable --now tailscaled.service
    if [ -f "$key" ]; then
        tailscale up --auth-key="file:$key" --advertise-tags="tag:$TAILSCALE_TAG" --hostname="$NODE_NAME" \
            --accept-dns=false --timeout=120s || die "tailscale does not join the tailnet"
        rm -f "$key"
    fi
    address=$(tailscale ip -4)
    install -d -m 0700 /etc/rancher/k3s/config.yaml.d
    case $K3S_UNIT in
        k3s) printf 'tls-san+:\n  - "%s"\n' "$address" ;;
        *) printf 'node-external-ip: "%s"\n' "$address" ;;
    esac | write /etc/rancher/k3s/config.yaml.d/tailnet.yaml
}

start_k3s() {
    local index
    obtain "$K3S_SOURCE" "$K3S_SHA256" /usr/local/bin/k3s 0755
    for index in "${!IMAGE_SOURCES[@]}"; do
        obtain "${IMAGE_SOURCES[index]}" "${IMAGE_SHA256S[index]}" \
            "/var/lib/rancher/k3s/agent/images/${IMAGE_NAMES[index]}" 0644
    done
    # The folders above the authorities' keys, which cloud-init made as it makes all.
    [ "$K3S_UNIT" != k3s ] || install -d -m 0700 /var/lib/rancher/k3s/server /var/lib/rancher/k3s/server/tls
    systemctl enable --now "$K3S_UNIT.service" || die "$K3S_UNIT does not start: journalctl -u $K3S_UNIT says why"
}

# What cloud-init keeps of the user data has its secrets in it, and is not needed any more.
forget_user_data() {
    rm -rf /var/lib/cloud/instances/*/{user-data.txt,user-data.txt.i,cloud-config.txt,obj.pkl} \
        /run/cloud-init/{instance-data-sensitive,combined-cloud-config}.json
}

umask 077
for disk in "${!DATA_SERIALS[@]}"; do
    mount_data_disk "${DATA_SERIALS[disk]}" "${DATA_FOLDERS[disk]}"
done
[ -z "$TAILSCALE_SOURCE" ] || join_tailnet
start_k3s
forget_user_data
say "this machine is a node"
