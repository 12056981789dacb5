/* starts /bin/true once in each of the ways in which programs are started, as "true WAY", and writes the way and the number
 * of the process, which starts with the same path each time; then it tries what fails, and writes the error. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;
static char *words[] = {"true", NULL, NULL};

static int program_in_memory(void)
{
	struct stat st;
	int from = open("/bin/true", O_RDONLY | O_CLOEXEC), to = memfd_create("in-memory", MFD_CLOEXEC);
	if (from < 0 || to < 0 || fstat(from, &st) || sendfile(to, from, NULL, st.st_size) != st.st_size)
		_exit(97);
	return to;
}

static void *other_thread(void *unused)
{
	execve("/bin/true", words, environ);
	_exit(99);
	return unused;
}

static void start(const char *way)
{
	pthread_t thread;

	if (!strcmp(way, "memory"))
		fexecve(program_in_memory(), words, environ);
	else if (!strcmp(way, "descriptor"))
		fexecve(open("/bin/true", O_PATH | O_CLOEXEC), words, environ);
	else if (!strcmp(way, "directory"))
		syscall(SYS_execveat, open("/bin", O_PATH | O_CLOEXEC), "true", words, environ, 0);
	else if (!strcmp(way, "relative") && !chdir("/usr"))
		execve("bin/true", words, environ);
	else if (!strcmp(way, "thread") && !pthread_create(&thread, NULL, other_thread, NULL))
		pause();
	else if (!strcmp(way, "script"))
		execve("./script", words, environ);
	else
		execve("/bin/true", words, environ);
	_exit(99);
}

static void one(char *way)
{
	int status;
	pid_t child;

	words[1] = way;
	if (!strcmp(way, "spawn")) {
		if (posix_spawn(&child, "/bin/true", NULL, NULL, words, environ))
			exit(3);
	} else if (!strcmp(way, "vfork")) {
		if (!(child = vfork())) {
			execve("/bin/true", words, environ);
			_exit(99);
		}
	} else if (!(child = fork())) {
		start(way);
	}
	if (child < 0 || waitpid(child, &status, 0) != child || status)
		exit(2);
}

static void fails(const char *path, char *word)
{
	char *argv[] = {"fails", word, NULL};
	execve(path, argv, environ);
	printf("%s %d\n", path, errno);
}

int main(void)
{
	static char *ways[] = {"fork", "vfork", "spawn", "memory", "descriptor", "directory", "relative", "thread", "script"};
	for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
		one(ways[i]);
	size_t size = 4 << 20;
	char *huge = malloc(size + 1);
	memset(huge, 'x', size);
	huge[size] = 0;
	fails("./absent", "ENOENT");
	fails("./notes", "EACCES");
	fails("./garbage", "ENOEXEC");
	fails("/bin/true", huge);
	return 0;
}
