/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c - a YAML file onto the configuration.
 *
 * The tree has two levels that matter, section and key, and one list of maps, exporters. Each
 * member is looked up in the table; what the table does not know is an error with its line,
 * because a key that is ignored is a setting that its author believes in. `distributed_tracing:`
 * holds the same keys as the top level, as in the guide that clew started from; giving a key in
 * both places is an error.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config_private.h"

#define SEED_SECTION "distributed_tracing"

/* Where a value stands, for messages. */
struct file_at {
	const struct config_doc *doc;
	struct config_load *ld;
	uint32_t line;
	char path[160]; /* "capture.layer", "exporters[0].headers" */
};

static int __attribute__((format(printf, 2, 3))) file__fail(const struct file_at *at,
							    const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return config__fail(at->ld->errbuf, at->ld->errlen, "%s:%u: %s: %s", at->doc->file,
			    at->line, at->path, text);
}

/* `err` of a value that wrote its message into `text`. */
static int file__wrap(const struct file_at *at, int err, const char *text)
{
	return err == -EINVAL ? file__fail(at, "%s", text) : err;
}

static const char *file__kind(const struct config_node *node)
{
	return node->kind == CONFIG_MAP ? "a map" : node->kind == CONFIG_SEQ ? "a list" : "a value";
}

static int file__wrong_kind(const struct file_at *at, const struct config_node *node,
			    const char *expected)
{
	return file__fail(at, "is %s; expected %s", file__kind(node), expected);
}

static int file__list(struct file_at *at, const struct config_key *key, void *base,
		      const struct config_node *node)
{
	const struct config_doc *doc = at->doc;
	char text[384];
	int err = 0;

	config_value__clear(key, base);
	for (uint32_t i = node->child; !err && i != CONFIG_NO_NODE; i = doc->nodes[i].next) {
		const struct config_node *member = &doc->nodes[i];

		at->line = member->line;
		if (member->kind != CONFIG_SCALAR || config_node__null(member))
			return file__fail(at, "a member is %s; expected a value",
					  member->kind == CONFIG_SCALAR ? "empty"
									: file__kind(member));
		if (key->type != CONFIG_STRV && member->quoted)
			return file__fail(at, "\"%.64s\" is quoted text; expected a whole number",
					  member->text);
		err = config_value__append(key, base, member->text, text, sizeof(text));
	}
	return file__wrap(at, err, text);
}

static int file__headers(struct file_at *at, const struct config_key *key, void *base,
			 const struct config_node *node)
{
	struct config_draft *draft = base;
	const struct config_doc *doc = at->doc;
	char text[384];
	int err = 0;

	config_value__clear(key, base);
	for (uint32_t i = node->child; !err && i != CONFIG_NO_NODE; i = doc->nodes[i].next) {
		const struct config_node *member = &doc->nodes[i];

		at->line = member->line;
		if (member->kind != CONFIG_SCALAR)
			return file__wrong_kind(at, member, "the header's value");
		err = config_headers__add(&draft->ex, member->key,
					  config_node__null(member) ? "" : member->text, text,
					  sizeof(text));
	}
	return file__wrap(at, err, text);
}

/* A text in quotes is a text: "3" is no number and "true" no boolean. */
static bool file__takes_quoted(const struct config_key *key)
{
	return key->type == CONFIG_STRING || key->type == CONFIG_STRV ||
	       key->type == CONFIG_CHOICE || key->type == CONFIG_HEADERS ||
	       key->type == CONFIG_BYTES;
}

static int file__value(struct file_at *at, const struct config_key *key, void *base,
		       const struct config_node *node)
{
	char text[384], expected[192];
	int err;

	config_key__expected(key, expected, sizeof(expected));
	if (key->type == CONFIG_HEADERS && node->kind == CONFIG_MAP)
		return file__headers(at, key, base, node);
	if (config_value__is_list(key) && key->type != CONFIG_HEADERS && node->kind == CONFIG_SEQ)
		return file__list(at, key, base, node);
	if (node->kind != CONFIG_SCALAR)
		return file__wrong_kind(at, node, expected);
	if (node->quoted && !file__takes_quoted(key))
		return file__fail(at, "\"%.64s\" is quoted text; expected %s", node->text,
				  expected);
	/* One text where a list is expected is a list of one, commas and all. */
	if (config_value__is_list(key) && key->type != CONFIG_HEADERS) {
		config_value__clear(key, base);
		err = config_value__append(key, base, node->text, text, sizeof(text));
	} else {
		err = config_value__set(key, base, node->text, text, sizeof(text));
	}
	return file__wrap(at, err, text);
}

static int file__unknown(const struct file_at *at, enum config_section section, bool seed)
{
	char list[400];
	size_t used;

	config_key__list(section, seed, list, sizeof(list));
	used = strlen(list);
	for (int s = CONFIG_TOP + 1; section == CONFIG_TOP && !seed && s < CONFIG_SECTIONS; s++)
		if (used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, ", %s",
						 config_section_names[s]);
	return file__fail(at, "unknown key; expected one of %s", list);
}

/* The keys of one section, or of the top level (sections are taken elsewhere). */
static int file__member(struct file_at *at, enum config_section section, bool seed,
			const struct config_node *node)
{
	struct config_load *ld = at->ld;
	const struct config_key *key = config_key__find(section, node->key, strlen(node->key));
	uint32_t index;
	int err;

	at->line = node->line;
	if (!key || (seed && !(key->flags & CONFIG_SEED)))
		return file__unknown(at, section, seed);
	index = config_key__index(key);
	if (ld->line[index])
		return file__fail(at, "given twice; expected once, first is on line %u",
				  ld->line[index]);
	ld->line[index] = node->line;
	if (config_node__null(node))
		return 0;
	err = file__value(at, key, ld->cfg, node);
	if (!err)
		config__mark(ld, key, CONFIG_FROM_FILE);
	return err;
}

static int file__section(struct file_at *at, enum config_section section, const char *name,
			 const struct config_node *map)
{
	const struct config_doc *doc = at->doc;
	int err = 0;

	at->line = map->line;
	snprintf(at->path, sizeof(at->path), "%s", name);
	if (config_node__null(map))
		return 0;
	if (map->kind != CONFIG_MAP)
		return file__wrong_kind(at, map, "a map of keys");
	for (uint32_t i = map->child; !err && i != CONFIG_NO_NODE; i = doc->nodes[i].next) {
		snprintf(at->path, sizeof(at->path), "%s.%s", name, doc->nodes[i].key);
		err = file__member(at, section, section == CONFIG_TOP, &doc->nodes[i]);
	}
	return err;
}

static int file__exporter(struct file_at *at, uint32_t index, const struct config_node *map)
{
	const struct config_doc *doc = at->doc;
	struct config_draft draft;
	bool added = false;
	char text[384];
	int err;

	at->line = map->line;
	snprintf(at->path, sizeof(at->path), "exporters[%u]", index);
	if (map->kind != CONFIG_MAP)
		return file__fail(at, "is %s; expected a map with a type", file__kind(map));
	err = config_draft__init(&draft);
	for (uint32_t i = map->child; !err && i != CONFIG_NO_NODE; i = doc->nodes[i].next) {
		const struct config_node *node = &doc->nodes[i];
		const struct config_key *key =
			config_key__find(CONFIG_EXPORTERS, node->key, strlen(node->key));

		at->line = node->line;
		snprintf(at->path, sizeof(at->path), "exporters[%u].%s", index, node->key);
		if (!key) {
			err = file__unknown(at, CONFIG_EXPORTERS, false);
		} else if (!config_node__null(node)) {
			err = file__value(at, key, &draft, node);
			draft.set[config_key__index(key)] = 1;
		}
	}
	if (!err) {
		at->line = map->line;
		snprintf(at->path, sizeof(at->path), "exporters[%u]", index);
		err = file__wrap(
			at, config_exporter__add(at->ld->cfg, &draft, &added, text, sizeof(text)),
			text);
	}
	if (!err && !added)
		err = file__fail(at, "given twice; expected each type and target once");
	config_draft__free(&draft);
	return err;
}

static int file__exporters(struct file_at *at, const struct config_node *seq)
{
	const struct config_doc *doc = at->doc;
	uint32_t index = 0;
	int err = 0;

	at->line = seq->line;
	if (config_node__null(seq))
		return 0;
	if (seq->kind != CONFIG_SEQ)
		return file__wrong_kind(at, seq, "a list of maps, each with a type");
	for (uint32_t i = seq->child; !err && i != CONFIG_NO_NODE; i = doc->nodes[i].next)
		err = file__exporter(at, index++, &doc->nodes[i]);
	return err;
}

static int file__top(struct file_at *at, const struct config_node *node)
{
	snprintf(at->path, sizeof(at->path), "%s", node->key);
	if (!strcmp(node->key, SEED_SECTION))
		return file__section(at, CONFIG_TOP, SEED_SECTION, node);
	if (!strcmp(node->key, config_section_names[CONFIG_EXPORTERS]))
		return file__exporters(at, node);
	for (int s = CONFIG_TOP + 1; s < CONFIG_EXPORTERS; s++)
		if (!strcmp(node->key, config_section_names[s]))
			return file__section(at, s, node->key, node);
	return file__member(at, CONFIG_TOP, false, node);
}

int config_file__apply(struct config_load *ld, const struct config_doc *doc)
{
	struct file_at at = {.doc = doc, .ld = ld, .line = 1, .path = "the file"};
	int err = 0;

	if (!doc->nr || config_node__null(&doc->nodes[0]))
		return 0; /* empty, or comments alone */
	if (doc->nodes[0].kind != CONFIG_MAP)
		return file__wrong_kind(&at, &doc->nodes[0], "a map of keys");
	for (uint32_t i = doc->nodes[0].child; !err && i != CONFIG_NO_NODE; i = doc->nodes[i].next)
		err = file__top(&at, &doc->nodes[i]);
	return err;
}

static int file__unreadable(struct config_load *ld, const char *path, int err)
{
	config__fail(ld->errbuf, ld->errlen, "%s: cannot be read: %s; expected a YAML file", path,
		     strerror(err));
	return -err;
}

/* Not by size: a pipe or /dev/stdin has none. One byte beyond the cap tells "too large". */
int config_file__read(struct config_load *ld, const char *path)
{
	struct config_doc doc = {0};
	size_t used = 0;
	ssize_t got = 1;
	char *bytes;
	int fd, err;

	bytes = malloc(CONFIG_FILE_MAX + 1);
	if (!bytes)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		err = file__unreadable(ld, path, errno);
		goto out;
	}
	while (got && used <= CONFIG_FILE_MAX) {
		got = read(fd, bytes + used, CONFIG_FILE_MAX + 1 - used);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			err = file__unreadable(ld, path, errno);
			goto out;
		}
		used += (size_t)got;
	}
	err = config_doc__parse(&doc, path, bytes, used, ld->errbuf, ld->errlen);
	if (!err)
		err = config_file__apply(ld, &doc);
out:
	config_doc__free(&doc);
	if (fd >= 0)
		close(fd);
	free(bytes);
	return err;
}
