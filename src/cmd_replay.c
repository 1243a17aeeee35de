/* SPDX-License-Identifier: Apache-2.0 */
/* cmd_replay.c - `clew replay FILE`: a recording through the same pipeline, without root. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <clew/capture.h>
#include <clew/pipeline.h>

#include "base/log.h"
#include "commands.h"

#define DRAIN_MS 30000

/* The kernel's own count comes once a second and at the end: one that is cut off ends before it. */
static void count_read(struct clew_ledger *ledger)
{
	uint64_t read = ledger->events_used;

	for (int i = 0; i < CLEW_EDROP_MAX; i++)
		read += ledger->events_dropped[i];
	if (ledger->events_seen < read)
		ledger->events_seen = read;
}

static int replay(const struct clew_config *cfg, const char *file, char *errbuf, size_t n)
{
	struct clew_ledger ledger;
	struct clew_export *export = NULL;
	struct clew_pipeline *pipeline;
	int err;

	memset(&ledger, 0, sizeof(ledger));
	err = clew_export__new(cfg, &ledger, &export, errbuf, n);
	if (err)
		return err;
	pipeline = clew_pipeline__new(cfg, &ledger, export, NULL, NULL);
	if (!pipeline) {
		clew_export__free(export, 0);
		return -ENOMEM;
	}
	err = clew_replay(file, clew_pipeline__feed, pipeline, errbuf, n);
	clew_pipeline__drain(pipeline);
	clew_pipeline__account(pipeline);
	if (err)
		count_read(&ledger);
	clew_export__free(export, DRAIN_MS);
	clew_pipeline__free(pipeline);
	clew_ledger__print(&ledger, stderr);
	if (cfg->ledger_path && clew_ledger__write_json(&ledger, cfg->ledger_path) < 0 && !err) {
		snprintf(errbuf, n, "cannot write the ledger to %s", cfg->ledger_path);
		err = -EIO;
	}
	return err;
}

int cmd_replay(int argc, char **argv)
{
	char errbuf[512] = "";
	struct clew_config *cfg;
	int err = clew_config__load(argc - 1, argv + 1, argv[0], &cfg, errbuf, sizeof(errbuf));

	if (err == 1)
		return 0;
	if (err) {
		fprintf(stderr, "clew: %s\n", errbuf);
		return clew_config__exit_code(err);
	}
	if (!cfg->replay_path) {
		fprintf(stderr, "clew: replay: name the recording: clew replay FILE\n");
		clew_config__free(cfg);
		return 2;
	}
	clew_log__set_level(cfg->log_level);
	for (uint32_t i = 0; i < cfg->warnings.n; i++)
		clew_log(CLEW_LOG_WARN, "%s", cfg->warnings.v[i]);
	err = replay(cfg, cfg->replay_path, errbuf, sizeof(errbuf));
	if (err)
		fprintf(stderr, "clew: %s\n", errbuf[0] ? errbuf : strerror(-err));
	clew_config__free(cfg);
	return err ? 1 : 0;
}
