#!/bin/sh
# build-kernel.sh ARCHITECTURE: runs in a forky root with the kernel's headers and compiler.
# From /build (recipe, version, packages) makes /out: vmlinuz, initrd.cpio, modules.sqfs, version.
set -eu
architecture=$1
case $architecture in
amd64) prefix=x86_64-linux-gnu- ;;
arm64) prefix=aarch64-linux-gnu- ;;
esac
recipe=/build/recipe
read -r version </build/version
all=/build/all               # every module, as packaged
some=/build/some             # those of modules.txt
boot=/build/initramfs
lib=lib/modules/$version
mkdir -p $all $some/$lib $boot/bin $boot/$lib /out
ln -sf gawk /usr/bin/awk     # packages here are unpacked, their scripts that do this have not run

echo "I: kernel: unpacking $version"
for package in /build/linux-*.deb; do
    dpkg-deb --fsys-tarfile "$package" | tar -x -C $all
done
mv $all/usr/lib $all/lib
for file in modules.order modules.builtin modules.builtin.modinfo; do
    cp "/usr/lib/modules/$version/$file" "$all/$lib/"
done
mv "$all/$lib/vmlinuz" /out/vmlinuz

echo "I: kernel: compiling our modules"
make -s -C "/usr/src/linux-headers-$version" M=$recipe/modules modules
mkdir -p "$all/$lib/updates"
for module in $recipe/modules/*.ko; do
    ${prefix}strip --strip-debug "$module"
    cp "$module" "$all/$lib/updates/"
done
depmod -b $all "$version"

# copy_modules TARGET NAME...: these modules and what they depend on, not compressed: emulated xz is slow.
copy_modules() {
    target=$1
    shift
    for name in "$@"; do
        modprobe -d $all -S "$version" --show-depends "$name" || {
            echo "modules.txt: kernel $version has no module $name" >&2
            return 1
        }
    done >/build/depends
    sed -n "s|^insmod $all/\([^ ]*\).*|\1|p" /build/depends | sort -u >/build/list
    while read -r path; do
        mkdir -p "$target/${path%/*}"
        case $path in
        *.xz) xz -dc "$all/$path" >"$target/${path%.xz}" ;;
        *) cp "$all/$path" "$target/$path" ;;
        esac
    done </build/list
    cp "$all/$lib"/modules.order "$all/$lib"/modules.builtin "$all/$lib"/modules.builtin.modinfo "$target/$lib/"
    depmod -b "$target" "$version"
}

echo "I: kernel: choosing modules"
# shellcheck disable=SC2046
copy_modules $some $(sed 's/#.*//' $recipe/modules.txt | awk -v here="@$architecture" '
    { for (i = 2; i <= NF; i++) if ($i != "@boot" && $i != here) next } NF { print $1 }')
# shellcheck disable=SC2046
copy_modules $boot $(awk '/^[^#].*@boot/ { print $1 }' $recipe/modules.txt)
mksquashfs $some/lib/modules /out/modules.sqfs -comp lz4 -all-root -no-progress -quiet

cp /usr/bin/busybox $boot/bin/busybox
cp $recipe/init $boot/init
chmod 755 $boot/init $boot/bin/busybox
(cd $boot && find . | cpio -o -H newc --quiet) >/out/initrd.cpio
echo "$version" >/out/version
