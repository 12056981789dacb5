#define _GNU_SOURCE
#include "boxinit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void push(struct report *r, struct list *l, void *item)
{
	if (l->len + 1 >= l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->items = realloc(l->items, l->cap * sizeof(void *));
		if (!l->items)
			die(r, ENOMEM);
	}
	l->items[l->len++] = item;
	l->items[l->len] = NULL;
}

/* A record's text must end inside the record: the encoder puts a NUL there. */
static void need_text(struct report *r, const char *text, size_t len)
{
	if (len == 0 || text[len - 1] != '\0')
		die(r, EBADMSG);
}

static void *sized(struct report *r, void *data, size_t len, size_t want)
{
	if (len != want)
		die(r, EBADMSG);
	return data;
}

static void *with_path(struct report *r, void *data, size_t len, size_t head)
{
	if (len <= head)
		die(r, EBADMSG);
	need_text(r, (char *)data + head, len - head);
	return data;
}

/* A mount has three texts; the last one's NUL ends the record. */
static void *with_texts(struct report *r, void *data, size_t len)
{
	const char *text = with_path(r, data, len, sizeof(struct mount)), *end = text + len;
	int nuls = 0;

	for (text += sizeof(struct mount); text < end; text++)
		nuls += *text == '\0';
	if (nuls != 3)
		die(r, EBADMSG);
	return data;
}

/* A file may hold any byte, so a node says how long its texts are. */
static void *with_content(struct report *r, void *data, size_t len)
{
	const struct node *n = data;

	if (len < sizeof *n || len != sizeof *n + (uint64_t)n->path_len + 1 + n->content_len + 1)
		die(r, EBADMSG);
	if (strnlen(n->texts, n->path_len + 1) != n->path_len)
		die(r, EBADMSG);
	need_text(r, n->texts + n->path_len + 1, n->content_len + 1);
	return data;
}

static int record(struct report *r, struct instructions *in, uint32_t tag, void *data, size_t len)
{
	switch (tag) {
	case TAG_ARG:
		need_text(r, data, len);
		push(r, &in->argv, data);
		return 1;
	case TAG_ENV:
		need_text(r, data, len);
		push(r, &in->env, data);
		return 1;
	case TAG_CWD:
		need_text(r, data, len);
		in->cwd = data;
		return 1;
	case TAG_IDS:
		in->ids = sized(r, data, len, sizeof(struct ids));
		return 1;
	case TAG_LANDLOCK:
		in->landlock = sized(r, data, len, sizeof(struct landlock_attr));
		return 1;
	case TAG_LANDLOCK_RULE:
		push(r, &in->rules, with_path(r, data, len, sizeof(struct rule)));
		return 1;
	case TAG_AGENT_FILTER:
		in->agent = (struct filter){ data, len };
		return 1;
	case TAG_INIT_FILTER:
		in->init = (struct filter){ data, len };
		return 1;
	case TAG_NODE:
		push(r, &in->nodes, with_content(r, data, len));
		return 1;
	case TAG_MASK:
		push(r, &in->masks, with_content(r, data, len));
		return 1;
	case TAG_SEED:
		push(r, &in->seeds, with_content(r, data, len));
		return 1;
	case TAG_DIR:
		push(r, &in->dirs, with_path(r, data, len, sizeof(struct dir)));
		return 1;
	case TAG_MOUNT:
		push(r, &in->mounts, with_texts(r, data, len));
		return 1;
	case TAG_GROUP:
		push(r, &in->groups, sized(r, data, len, sizeof(uint32_t)));
		return 1;
	case TAG_RLIMIT:
		push(r, &in->limits, sized(r, data, len, sizeof(struct limit)));
		return 1;
	case TAG_AFFINITY:
		in->affinity = (struct filter){ data, len };
		return 1;
	case TAG_NETWORK:
		in->network = sized(r, data, len, sizeof(uint32_t));
		return 1;
	case TAG_SOCKET:
		push(r, &in->sockets, with_path(r, data, len, sizeof(struct socket_wanted)));
		return 1;
	case TAG_END:
		return 0;
	}
	die(r, EBADMSG);
}

/*
 * Records are {u32 tag, u32 length, data padded to 8 bytes}; TAG_END closes the list. Anything unknown, cut or
 * missing ends the start: an instruction that is skipped is a layer that is missing.
 */
void instructions_read(struct report *r, struct instructions *in)
{
	struct stat st;

	r->step = STEP_INSTRUCTIONS;
	if (fstat(FD_INSTRUCTIONS, &st) < 0)
		die(r, errno);
	char *map = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, FD_INSTRUCTIONS, 0);
	if (map == MAP_FAILED)
		die(r, errno);
	close(FD_INSTRUCTIONS);

	size_t at = 0, size = st.st_size;
	for (;;) {
		uint32_t head[2];
		if (size - at < sizeof head)
			die(r, EBADMSG);
		memcpy(head, map + at, sizeof head);
		at += sizeof head;
		if (head[1] > size - at)
			die(r, EBADMSG);
		if (!record(r, in, head[0], map + at, head[1]))
			break;
		size_t padded = ((size_t)head[1] + 7) & ~(size_t)7;
		if (padded > size - at)
			die(r, EBADMSG);
		at += padded;
	}
	if (!in->argv.len || !in->cwd || !in->ids || (in->sockets.len && !in->network))
		die(r, EBADMSG);
	if (!in->env.items)
		push(r, &in->env, NULL);
}
