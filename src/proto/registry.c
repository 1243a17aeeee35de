/* SPDX-License-Identifier: Apache-2.0 */
/* registry.c - the protocols, strongest detector first: a new one is a line here. */
#include <clew/proto.h>

static const struct clew_proto_ops *const protos[] = {&clew_fastcgi, &clew_http1};

int clew_proto__detect(const uint8_t *p, size_t n, const struct clew_proto_ops **ret)
{
	int best = 0;

	/* met in its middle: HTTP/1 can wait for a message to begin */
	*ret = &clew_http1;
	for (size_t i = 0; i < sizeof(protos) / sizeof(protos[0]); i++) {
		int is = protos[i]->detect(p, n);

		if (is > 0) {
			*ret = protos[i];
			return is;
		}
		if (is < 0)
			best = is;
	}
	return best;
}
