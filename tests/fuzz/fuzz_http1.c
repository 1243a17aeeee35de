/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_http1.c - the HTTP/1 parser; what the input means and what is checked: parser.h. */
#include "parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	fuzz_parser(&clew_http1, p, n);
	return 0;
}
