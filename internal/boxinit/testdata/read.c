/*
 * What the box's side has read of its instructions, for a test to compare with what was written. It is the same
 * instructions.c; only die() differs.
 */
#include "../instructions.c"

#include <inttypes.h>
#include <stdio.h>

void die(struct report *r, int err)
{
	printf("refused %d %d\n", r->step, err);
	exit(0);
}

static void hex(const char *what, const void *data, size_t len)
{
	printf("%s ", what);
	for (size_t i = 0; i < len; i++)
		printf("%02x", ((const unsigned char *)data)[i]);
	printf("\n");
}

static void text(const char *what, const char *s)
{
	hex(what, s, strlen(s));
}

int main(void)
{
	struct report r = { 0 };
	struct instructions in = { 0 };

	instructions_read(&r, &in);
	for (size_t i = 0; i < in.argv.len; i++)
		text("arg", in.argv.items[i]);
	for (size_t i = 0; i < in.env.len; i++)
		if (in.env.items[i])
			text("env", in.env.items[i]);
	text("dir", in.cwd);
	printf("ids %u %u %u %u flags %u umask %u\n", in.ids->uid, in.ids->gid, in.ids->outer_uid, in.ids->outer_gid, in.ids->flags, in.ids->umask);
	if (in.landlock)
		printf("landlock %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", in.landlock->fs, in.landlock->net, in.landlock->scoped);
	for (size_t i = 0; i < in.rules.len; i++) {
		struct rule *rule = in.rules.items[i];
		printf("rule %" PRIu64 "\n", rule->access);
		text("at", rule->path);
	}
	hex("agent", in.agent.code, in.agent.bytes);
	hex("init", in.init.code, in.init.bytes);
	for (size_t i = 0; i < in.nodes.len; i++) {
		struct node *n = in.nodes.items[i];
		printf("node %u mode %u\n", n->kind, n->mode);
		text("at", n->texts);
		hex("holds", n->texts + n->path_len + 1, n->content_len);
	}
	for (size_t i = 0; i < in.dirs.len; i++) {
		struct dir *d = in.dirs.items[i];
		printf("mkdir mode %u uid %u gid %u\n", d->mode, d->uid, d->gid);
		text("at", d->path);
	}
	for (size_t i = 0; i < in.seeds.len; i++) {
		struct node *n = in.seeds.items[i];
		printf("seed mode %u\n", n->mode);
		text("at", n->texts);
		hex("holds", n->texts + n->path_len + 1, n->content_len);
	}
	for (size_t i = 0; i < in.mounts.len; i++) {
		struct mount *m = in.mounts.items[i];
		const char *target = m->texts + strlen(m->texts) + 1;
		printf("mount %u create %u fd %u set %" PRIu64 " clear %" PRIu64 " dev %" PRIu64 " ino %" PRIu64 "\n", m->kind, m->create, m->fd,
			m->set, m->clear, m->dev, m->ino);
		text("from", m->texts);
		text("at", target);
		text("with", target + strlen(target) + 1);
	}
	for (size_t i = 0; i < in.groups.len; i++)
		printf("group %u\n", *(uint32_t *)in.groups.items[i]);
	for (size_t i = 0; i < in.limits.len; i++) {
		struct limit *l = in.limits.items[i];
		printf("limit %u %" PRIu64 "\n", l->resource, l->value);
	}
	hex("affinity", in.affinity.code, in.affinity.bytes);
	printf("network %u\n", in.network ? *in.network : 0);
	for (size_t i = 0; i < in.sockets.len; i++) {
		struct socket_wanted *s = in.sockets.items[i];
		printf("socket %u %u %u\n", s->family, s->type, s->protocol);
		text("at", s->path);
	}
	return 0;
}
