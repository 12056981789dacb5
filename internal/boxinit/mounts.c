#define _GNU_SOURCE
#include "boxinit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* sys/mount.h and linux/mount.h cannot be included together with older libcs. */
extern int mount(const char *, const char *, const char *, unsigned long, const void *);
extern int umount2(const char *, int);
#define MNT_DETACH 2
#define MS_RDONLY 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define MS_NOEXEC 8

/* Where the root that libcontainer made lies once the box's own is in its place. */
#define OLD "/.box"
/* On it is a tmpfs with the sources: the host's root, and what covers masked paths. */
#define STAGE OLD OLD
#define STAGE_HOST STAGE "/host"
#define EMPTY_FILE STAGE "/none"
#define EMPTY_DIR STAGE "/none.d"

/*
 * Everything is reached from one of two directories and through no symbolic link: neither a hostile workspace nor a
 * hostile root directory can lead a mount elsewhere (CVE-2019-16884, CVE-2021-30465).
 */
static int open_below(int root, const char *path)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	while (*path == '/')
		path++;
	return syscall(SYS_openat2, root, *path ? path : ".", &how, sizeof how);
}

/* Makes a mount point on one of the box's own tmpfs; nobody else can write there yet. */
static int make_target(int root, const char *path, int dir)
{
	char name[4096];
	size_t len = strlen(path);

	if (len >= sizeof name) {
		errno = ENAMETOOLONG;
		return -1;
	}
	for (size_t i = 1; i <= len; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(name, path, i);
		name[i] = '\0';
		int made = i < len || dir ? mkdir(name, 0755) : mknod(name, S_IFREG | 0444, 0);
		if (made < 0 && errno != EEXIST && errno != EROFS)
			return -1;
	}
	return open_below(root, path);
}

static int open_target(struct report *r, const struct mount *m, const char *path, int dir, int root)
{
	int on = open_below(root, path);

	if (on < 0 && errno == ENOENT && m->create)
		on = make_target(root, path, dir);
	if (on < 0)
		die(r, errno);
	return on;
}

static int clone_tree(struct report *r, const struct mount *m, int file)
{
	struct mount_attr attr = { .attr_set = m->set, .attr_clr = m->clear };
	int tree = syscall(SYS_open_tree, file, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);

	if (tree < 0)
		die(r, errno);
	if (syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof attr) < 0)
		die(r, errno);
	return tree;
}

static void attach(struct report *r, int tree, int on)
{
	if (syscall(SYS_move_mount, tree, "", on, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		die(r, errno);
	close(on);
	close(tree);
}

static void bind_one(struct report *r, const struct mount *m, const char *target, int from, int root)
{
	struct stat st;
	int file = open_below(from, m->texts);

	if (file < 0 || fstat(file, &st) < 0)
		die(r, errno);
	if (m->ino && (st.st_dev != m->dev || st.st_ino != m->ino))
		die(r, ESTALE);
	int tree = clone_tree(r, m, file);
	close(file);
	attach(r, tree, open_target(r, m, target, S_ISDIR(st.st_mode), root));
}

static void fd_one(struct report *r, const struct mount *m, const char *target, int root)
{
	struct stat st;

	if (fstat(m->fd, &st) < 0)
		die(r, errno);
	attach(r, m->fd, open_target(r, m, target, S_ISDIR(st.st_mode), root));
}

static void cover_one(struct report *r, const struct mount *m, const char *target, int root)
{
	struct stat st;
	int on = open_below(root, target);

	if (on < 0 && errno == ENOENT)
		return; /* the host took the file away meanwhile: there is nothing to hide */
	if (on < 0 || fstat(on, &st) < 0)
		die(r, errno);
	int file = open_below(root, S_ISDIR(st.st_mode) ? EMPTY_DIR : EMPTY_FILE);
	if (file < 0)
		die(r, errno);
	int tree = clone_tree(r, m, file);
	close(file);
	attach(r, tree, on);
}

static void tmpfs_one(struct report *r, const struct mount *m, const char *target, const char *data, int root)
{
	char path[32];
	unsigned long flags = 0;
	int on = open_target(r, m, target, 1, root);

	flags |= m->set & MOUNT_ATTR_NOSUID ? MS_NOSUID : 0;
	flags |= m->set & MOUNT_ATTR_NODEV ? MS_NODEV : 0;
	flags |= m->set & MOUNT_ATTR_NOEXEC ? MS_NOEXEC : 0;
	flags |= m->set & MOUNT_ATTR_RDONLY ? MS_RDONLY : 0;
	snprintf(path, sizeof path, "/proc/self/fd/%d", on);
	if (mount("tmpfs", path, "tmpfs", flags, data) < 0)
		die(r, errno);
	close(on);
}

static void shared_one(struct report *r, const struct mount *m, const char *target, const char *data, int root)
{
	tmpfs_one(r, m, target, data, root);
	int at = open_below(root, target);
	int fd = at < 0 ? -1 : openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		die(r, errno);
	share(r, fd);
	close(fd);
	close(at);
}

static void overlay_one(struct report *r, const struct instructions *in, const struct mount *m, int root)
{
	const char *target = m->texts + strlen(m->texts) + 1;
	int on = open_target(r, m, target, 1, root);

	overlay_mount(r, in, on, target + strlen(target) + 1);
	close(on);
}

static int open_root(struct report *r, const char *path)
{
	int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		die(r, errno);
	return fd;
}

static uint64_t mount_id(struct report *r, const char *path)
{
	struct statx st;

	if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_MNT_ID, &st) < 0)
		die(r, errno);
	if (!(st.stx_mask & STATX_MNT_ID))
		die(r, ENOSYS);
	return st.stx_mnt_id;
}

/* What covers masked paths: an empty file and an empty directory that nobody may open. */
static void make_empty(struct report *r)
{
	r->detail = STAGE;
	if (mknod(EMPTY_FILE, S_IFREG, 0) < 0 || mkdir(EMPTY_DIR, 0) < 0)
		die(r, errno);
}

/* Takes away the sources, makes sure that nothing of them is left, and closes the root. */
static void unstage(struct report *r)
{
	struct mount_attr closed = { .attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV };

	r->detail = OLD;
	if (umount2(OLD, MNT_DETACH) < 0)
		die(r, errno);
	if (mount_id(r, OLD) != mount_id(r, "/"))
		die(r, EBUSY);
	r->detail = "/";
	if (syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &closed, sizeof closed) < 0)
		die(r, errno);
}

/*
 * Lays out the box's files. libcontainer could, at twenty system calls a mount; here it is three, and the check of
 * the source and its use are one descriptor.
 */
void box_mounts(struct report *r, const struct instructions *in)
{
	r->step = STEP_MOUNTS;
	mode_t old = umask(0);
	int host = open_root(r, STAGE_HOST), root = open_root(r, "/");

	make_empty(r);
	overlay_masks(r, in);
	for (size_t i = 0; i < in->mounts.len; i++) {
		const struct mount *m = in->mounts.items[i];
		const char *target = m->texts + strlen(m->texts) + 1;
		const char *data = target + strlen(target) + 1;

		r->detail = target;
		switch (m->kind) {
		case MOUNT_HOST:
			bind_one(r, m, target, host, root);
			break;
		case MOUNT_BOX:
			bind_one(r, m, target, root, root);
			break;
		case MOUNT_TMPFS:
			tmpfs_one(r, m, target, data, root);
			break;
		case MOUNT_SHARED:
			shared_one(r, m, target, data, root);
			break;
		case MOUNT_FD:
			fd_one(r, m, target, root);
			break;
		case MOUNT_OVERLAY:
			overlay_one(r, in, m, root);
			break;
		case MOUNT_COVER:
			cover_one(r, m, target, root);
			break;
		default:
			die(r, EBADMSG);
		}
	}
	close(host);
	close(root);
	unstage(r);
	r->detail = NULL;
	umask(old);
}
