#!/bin/sh
# Runs in the root filesystem after its packages are installed: whatever a first boot would do is done now.
set -eu

echo board >/etc/hostname
printf '127.0.0.1\tlocalhost board\n' >/etc/hosts
echo 6d79636c65726b20626f617264000001 >/etc/machine-id
mkdir -p /opt/board /usr/lib/modules
passwd --quiet --delete root
ssh-keygen -A
systemd-hwdb update
ldconfig

mask() {
    for unit in "$@"; do
        ln -sf /dev/null "/etc/systemd/system/$unit"
    done
}
mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-tmpfiles-clean.timer
mask e2scrub_reap.service alsa-restore.service alsa-state.service ssh.service ssh.socket usbipd.service
mask owserver.service owserver.socket
mask getty.target getty@tty1.service serial-getty@ttyS0.service serial-getty@ttyAMA0.service serial-getty@hvc0.service
mask ldconfig.service systemd-firstboot.service systemd-hwdb-update.service systemd-journal-catalog-update.service
mask systemd-journal-flush.service systemd-machine-id-commit.service systemd-pcrphase.service systemd-pstore.service
mask systemd-random-seed.service systemd-boot-random-seed.service systemd-update-done.service systemd-update-utmp.service
mask modprobe@drm.service modprobe@efi_pstore.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount
mask dev-hugepages.mount dev-mqueue.mount sys-kernel-tracing.mount

mkdir -p /etc/systemd/system-generators
for generator in cryptsetup debug getty gpt-auto hibernate-resume import integritysetup rc-local ssh system-update tpm2 veritysetup; do
    ln -sf /dev/null "/etc/systemd/system-generators/systemd-$generator-generator"
done
touch /etc/.updated /var/.updated

rm -rf /var/log/* /var/cache/debconf/*-old /var/lib/dpkg/*-old /usr/share/doc /usr/share/man /usr/share/locale
