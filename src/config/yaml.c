/* SPDX-License-Identifier: Apache-2.0 */
/*
 * yaml.c - a YAML file as a small tree with line numbers.
 *
 * libyaml's events are pulled one by one into a tree of our own. Its own document loader is not
 * used: it knows no limit. Depth, nodes and bytes are checked while events are pulled, so that
 * a hostile file ends the reading before libyaml has worked through it. Aliases and tags
 * are refused: a configuration needs neither, and aliases are how a small file becomes a large
 * one. Duplicate keys are refused, as YAML 1.2 (3.2.1.1) demands and libyaml does not.
 */
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "config_private.h"

struct doc_build {
	struct config_doc *doc;
	uint32_t stack[CONFIG_DEPTH_MAX]; /* open collections, the innermost last */
	uint32_t depth;
	char *key; /* owned; read, its value is still to come */
	uint32_t key_line;
	bool ended; /* the first document is complete */
	char *errbuf;
	size_t errlen;
};

void config_doc__free(struct config_doc *doc)
{
	for (uint32_t i = 0; i < doc->nr; i++) {
		free(doc->nodes[i].key);
		free(doc->nodes[i].text);
	}
	free(doc->nodes);
	memset(doc, 0, sizeof(*doc));
}

bool config_node__null(const struct config_node *node)
{
	if (node->kind != CONFIG_SCALAR || node->quoted)
		return false;
	return !*node->text || !strcmp(node->text, "~") || !strcmp(node->text, "null") ||
	       !strcmp(node->text, "Null") || !strcmp(node->text, "NULL");
}

#define DOC_FAIL(b, line, ...) doc__fail(b, (uint32_t)(line), __VA_ARGS__)

static int __attribute__((format(printf, 3, 4))) doc__fail(struct doc_build *b, uint32_t line,
							   const char *fmt, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return config__fail(b->errbuf, b->errlen, "%s:%u: %s", b->doc->file, line, text);
}

/* A new node as the next member of the innermost collection. Takes b->key. */
static int doc__node(struct doc_build *b, enum config_node_kind kind, uint32_t line, uint32_t *ret)
{
	struct config_doc *doc = b->doc;
	struct config_node *node;

	if (doc->nr == CONFIG_NODES_MAX)
		return DOC_FAIL(b, line, "too many values; expected at most %u", CONFIG_NODES_MAX);
	if (doc->nr == doc->cap) {
		uint32_t cap = doc->cap ? doc->cap * 2 : 64;

		node = realloc(doc->nodes, cap * sizeof(*node));
		if (!node)
			return -ENOMEM;
		doc->nodes = node;
		doc->cap = cap;
	}
	node = &doc->nodes[doc->nr];
	*node = (struct config_node){.kind = kind,
				     .line = line,
				     .child = CONFIG_NO_NODE,
				     .last = CONFIG_NO_NODE,
				     .next = CONFIG_NO_NODE,
				     .key = b->key};
	b->key = NULL;
	if (node->key)
		node->line = b->key_line;
	if (b->depth) {
		struct config_node *parent = &doc->nodes[b->stack[b->depth - 1]];

		if (parent->last == CONFIG_NO_NODE)
			parent->child = doc->nr;
		else
			doc->nodes[parent->last].next = doc->nr;
		parent->last = doc->nr;
	}
	*ret = doc->nr++;
	return 0;
}

static int doc__open(struct doc_build *b, enum config_node_kind kind, uint32_t line)
{
	uint32_t at;
	int err;

	if (b->depth == CONFIG_DEPTH_MAX)
		return DOC_FAIL(b, line, "nested too deeply; expected at most %u levels",
				CONFIG_DEPTH_MAX);
	err = doc__node(b, kind, line, &at);
	if (err)
		return err;
	b->stack[b->depth++] = at;
	return 0;
}

/* The next node of a map that has no pending key is a key. */
static bool doc__wants_key(const struct doc_build *b)
{
	return b->depth && !b->key && b->doc->nodes[b->stack[b->depth - 1]].kind == CONFIG_MAP;
}

static int doc__text(struct doc_build *b, const yaml_event_t *ev, uint32_t line, char **ret)
{
	const char *value = (const char *)ev->data.scalar.value;
	size_t n = ev->data.scalar.length;
	char *text;

	if (memchr(value, 0, n))
		return DOC_FAIL(b, line, "a value holds a NUL character; expected text");
	if (n > CONFIG_TEXT_MAX)
		return DOC_FAIL(b, line, "a value has %zu bytes; expected at most %u", n,
				CONFIG_TEXT_MAX);
	text = strndup(value, n);
	if (!text)
		return -ENOMEM;
	*ret = text;
	return 0;
}

static int doc__key(struct doc_build *b, const yaml_event_t *ev, uint32_t line)
{
	const struct config_doc *doc = b->doc;
	const struct config_node *map = &doc->nodes[b->stack[b->depth - 1]];
	int err = doc__text(b, ev, line, &b->key);

	if (err)
		return err;
	b->key_line = line;
	for (uint32_t i = map->child; i != CONFIG_NO_NODE; i = doc->nodes[i].next)
		if (!strcmp(doc->nodes[i].key, b->key))
			return DOC_FAIL(b, line,
					"%s: duplicate key; expected once, first is on line %u",
					b->key, doc->nodes[i].line);
	return 0;
}

static int doc__scalar(struct doc_build *b, const yaml_event_t *ev, uint32_t line)
{
	char *text = NULL;
	uint32_t at;
	int err;

	if (ev->data.scalar.tag)
		return DOC_FAIL(b, line, "tags are not supported; expected a plain value");
	if (doc__wants_key(b))
		return doc__key(b, ev, line);
	err = doc__text(b, ev, line, &text);
	if (!err)
		err = doc__node(b, CONFIG_SCALAR, line, &at);
	if (err) {
		free(text);
		return err;
	}
	b->doc->nodes[at].text = text;
	b->doc->nodes[at].quoted = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
	return 0;
}

static int doc__collection(struct doc_build *b, const yaml_event_t *ev, uint32_t line)
{
	bool map = ev->type == YAML_MAPPING_START_EVENT;

	if (map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag)
		return DOC_FAIL(b, line, "tags are not supported; expected a plain value");
	if (doc__wants_key(b))
		return DOC_FAIL(b, line, "a key is a list or map; expected a name");
	return doc__open(b, map ? CONFIG_MAP : CONFIG_SEQ, line);
}

static int doc__event(struct doc_build *b, const yaml_event_t *ev)
{
	uint32_t line = (uint32_t)ev->start_mark.line + 1;

	switch (ev->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (b->ended)
			return DOC_FAIL(b, line, "a second document; expected one");
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		b->ended = true;
		return 0;
	case YAML_ALIAS_EVENT:
		return DOC_FAIL(b, line, "aliases are not supported; expected the value itself");
	case YAML_SCALAR_EVENT:
		return doc__scalar(b, ev, line);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return doc__collection(b, ev, line);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	default:
		return 0;
	}
}

static int doc__parser_error(struct doc_build *b, const yaml_parser_t *p)
{
	size_t line = p->error == YAML_READER_ERROR ? p->mark.line : p->problem_mark.line;

	if (p->error == YAML_MEMORY_ERROR)
		return -ENOMEM;
	return DOC_FAIL(b, line + 1, "not YAML: %s%s%s; expected \"key: value\" lines",
			p->context ? p->context : "", p->context ? ": " : "",
			p->problem ? p->problem : "unreadable");
}

int config_doc__parse(struct config_doc *doc, const char *file, const void *bytes, size_t n,
		      char *errbuf, size_t errlen)
{
	struct doc_build b = {.doc = doc, .errbuf = errbuf, .errlen = errlen};
	yaml_parser_t parser;
	bool end = false;
	int err = 0;

	memset(doc, 0, sizeof(*doc));
	doc->file = file;
	if (n > CONFIG_FILE_MAX)
		return config__fail(errbuf, errlen, "%s:1: too large; expected at most %u bytes",
				    file, CONFIG_FILE_MAX);
	if (!yaml_parser_initialize(&parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, bytes, n);
	while (!err && !end) {
		yaml_event_t ev;

		if (!yaml_parser_parse(&parser, &ev)) {
			err = doc__parser_error(&b, &parser);
			break;
		}
		err = doc__event(&b, &ev);
		end = ev.type == YAML_STREAM_END_EVENT;
		yaml_event_delete(&ev);
	}
	free(b.key);
	yaml_parser_delete(&parser);
	return err;
}
