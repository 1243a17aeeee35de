/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 well-formedness (RFC 3629; Unicode 15, table 3-7). The second byte's range depends on
 * the first one; that alone keeps out overlong forms, surrogates and what is above U+10FFFF.
 */
#include "base/utf8.h"

size_t clew_utf8__step(const uint8_t *p, size_t n, bool *ret_ok)
{
	uint8_t lo = 0x80, hi = 0xbf;
	size_t len, i;

	*ret_ok = true;
	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		len = 2;
	} else if (p[0] >= 0xe0 && p[0] <= 0xef) {
		len = 3;
		if (p[0] == 0xe0)
			lo = 0xa0;
		else if (p[0] == 0xed)
			hi = 0x9f;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		len = 4;
		if (p[0] == 0xf0)
			lo = 0x90;
		else if (p[0] == 0xf4)
			hi = 0x8f;
	} else {
		*ret_ok = false;
		return 1;
	}
	for (i = 1; i < len; i++) {
		if (i >= n || p[i] < lo || p[i] > hi) {
			*ret_ok = false;
			return i;
		}
		lo = 0x80;
		hi = 0xbf;
	}
	return len;
}

bool clew_utf8__valid_slow(const uint8_t *p, size_t n)
{
	size_t i = 0;
	bool ok;

	while (i < n) {
		i += clew_utf8__step(p + i, n - i, &ok);
		if (!ok)
			return false;
	}
	return true;
}
