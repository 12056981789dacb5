#define _GNU_SOURCE
#include "boxinit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

extern int mount(const char *, const char *, const char *, unsigned long, const void *);
#define MS_NOSUID 2
#define MS_NODEV 4

/* On the tmpfs that libcontainer mounted for the sources. */
#define NEW_ROOT "/.box/root"

static int make_file(struct report *r, const struct node *n, const char *path, const char *content)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, n->mode);

	if (fd < 0)
		die(r, errno);
	for (size_t done = 0; done < n->content_len;) {
		ssize_t some = write(fd, content + done, n->content_len - done);
		if (some < 0 && errno != EINTR)
			die(r, errno);
		done += some > 0 ? some : 0;
	}
	return fd;
}

/* Files in the agent's own directories, which it may change; see box_directories. */
void box_seeds(struct report *r, const struct instructions *in)
{
	mode_t old = umask(0);

	r->step = STEP_HOME;
	for (size_t i = 0; i < in->seeds.len; i++) {
		const struct node *n = in->seeds.items[i];

		r->detail = n->texts;
		int fd = make_file(r, n, n->texts, n->texts + n->path_len + 1);
		if (fchown(fd, in->ids->outer_uid, in->ids->outer_gid) < 0)
			die(r, errno);
		close(fd);
	}
	r->detail = NULL;
	umask(old);
}

/* The working directory is the new root, where nobody else can write yet. */
static void make_node(struct report *r, const struct node *n)
{
	const char *path = n->texts, *content = n->texts + n->path_len + 1;
	int made = 0;

	r->detail = path;
	while (*path == '/')
		path++;
	switch (n->kind) {
	case NODE_DIR:
		made = mkdir(path, n->mode);
		break;
	case NODE_LINK:
		made = symlink(content, path);
		break;
	case NODE_FILE:
		close(make_file(r, n, path, content));
		break;
	default:
		die(r, EBADMSG);
	}
	if (made < 0)
		die(r, errno);
}

/*
 * The box's root is a tmpfs of its own: it needs no directory of the host, its files belong to the box's root
 * whatever the ids are, and it goes with the last process that sees it. What libcontainer mounted moves along, and
 * the root that it made stays reachable at /.box until the sources are no longer needed.
 */
void box_root(struct report *r, const struct instructions *in)
{
	static const char *const moved[] = { "dev", "proc", ".agentbox" };
	mode_t old = umask(0);

	r->step = STEP_MOUNTS;
	r->detail = "/";
	if (mkdir(NEW_ROOT, 0700) < 0 || mount("tmpfs", NEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64m") < 0)
		die(r, errno);
	if (chdir(NEW_ROOT) < 0)
		die(r, errno);
	for (size_t i = 0; i < in->nodes.len; i++)
		make_node(r, in->nodes.items[i]);
	network_sockets(in, sockets_of_root);
	int from = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (from < 0)
		die(r, errno);
	for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
		r->detail = moved[i];
		if (syscall(SYS_move_mount, from, moved[i], AT_FDCWD, moved[i], 0) < 0)
			die(r, errno);
	}
	close(from);
	r->detail = "/";
	if (syscall(SYS_pivot_root, ".", ".box") < 0 || chdir("/") < 0)
		die(r, errno);
	r->detail = NULL;
	umask(old);
}
