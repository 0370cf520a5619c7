#include "sessiond/journal_map.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/loop.h"

/* Memory that is not there when it is touched would be a SIGBUS. */
static bool
map_reserve(struct journal_area *area, size_t start, size_t end)
{
	const struct journal_map *map = container_of(area, struct journal_map, area);
	int result;

	do {
		result = fallocate(map->fd, 0, (off_t)start, (off_t)(end - start));
	} while (result < 0 && errno == EINTR);
	return result == 0;
}

static void
map_release(struct journal_area *area, size_t start, size_t end)
{
	const struct journal_map *map = container_of(area, struct journal_map, area);

	/* If it cannot be done it costs memory until the next time. */
	if (fallocate(map->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)start, (off_t)(end - start)) < 0)
		errno = 0;
}

static int
size_set(int fd)
{
	struct stat status;

	/* Whatever else it may be is not ours. */
	if (fcntl(fd, F_GET_SEALS) < 0)
		return errno == EINVAL ? -EBADF : -errno;
	if (fstat(fd, &status) < 0)
		return -errno;
	if (status.st_size == (off_t)JOURNAL_MAP_SIZE)
		return 0;
	return ftruncate(fd, (off_t)JOURNAL_MAP_SIZE) < 0 ? -errno : 0;
}

int
journal_map_init(struct journal_map *map, int fd)
{
	void *bytes = MAP_FAILED;
	int error;

	*map = (struct journal_map){ .fd = fd };
	error = size_set(fd);
	if (error == 0)
		bytes = mmap(NULL, JOURNAL_MAP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (error == 0 && bytes == MAP_FAILED)
		error = -errno;
	if (error < 0)
		return error;
	map->area = (struct journal_area){
		.bytes = bytes, .size = JOURNAL_MAP_SIZE, .reserve = map_reserve, .release = map_release,
	};
	return 0;
}

void
journal_map_deinit(struct journal_map *map)
{
	if (map->area.bytes != NULL)
		munmap(map->area.bytes, map->area.size);
	*map = (struct journal_map){ .fd = -1 };
}
