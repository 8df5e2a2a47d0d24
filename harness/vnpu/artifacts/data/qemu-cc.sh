#!/bin/sh
# SPDX-License-Identifier: MIT
# Compiler of the QEMU build: spends time where it is won back.
#
# The device and the emulator's hot paths keep the optimisation that configure
# chose; the rest, which runs rarely, is compiled faster and without warnings
# that are not ours. @GCC@ and @PCH@ are filled in when the tree is made.
# $VNPU_SANITIZE_FLAGS, if set, instrument the device and go to the link.

gcc="@GCC@"

# Probes of configure and meson pass unchanged, and links nearly so.
case " $* " in
*" -c "*) ;;
*) exec $gcc "$@" $VNPU_SANITIZE_FLAGS ;;
esac

output=
previous=
for arg; do
	[ "$previous" = -o ] && output=$arg
	previous=$arg
done

case $output in
*hw_misc_vnpu* | hw/misc/vnpu/*)
	exec $gcc "$@" -g $VNPU_SANITIZE_FLAGS ;;
lib*.p/*.c.o | tcg/*.p/*.c.o | gdbstub/*.p/*.c.o) ;;
*) exec $gcc "$@" ;;
esac

case $output in
*/trace_trace-* | *meson-generated_.._trace_* | *meson-generated_.._qapi_*)
	exec $gcc -iquote "@PCH@" "$@" -O0 -w ;;
*libqemu-x86_64*tcg_* | *tcg.a.p* | *libtcg* | *softfloat* | *physmem* | *system_memory*)
	exec $gcc -iquote "@PCH@" "$@" -w ;;
*)
	exec $gcc -iquote "@PCH@" "$@" -O1 -w ;;
esac
