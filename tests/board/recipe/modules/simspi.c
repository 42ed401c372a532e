// SPDX-License-Identifier: GPL-2.0
/*
 * A SPI controller without pins: the kernel's SPI core and spidev on a bus
 * whose devices are software.
 *
 * Chip select 0 has MISO wired to MOSI. Chip select 1 is a device modelled in
 * user space by whoever has /dev/simspi open; while nobody has, nothing drives
 * MISO and all bits read are 1. SPI_LOOP loops back on both.
 *
 * The model reads a struct simspi_request, followed by `length` bytes sent on
 * MOSI (zeros for a transfer that only receives), and writes `length` bytes of
 * MISO. A request with length 0 is an edge of the chip select, answered by an
 * empty write. There is one request at a time, poll() tells of it, and what is
 * not answered within two seconds fails with ETIMEDOUT.
 */
#include <linux/completion.h>
#include <linux/device/faux.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/spi/spi.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

#define SIMSPI_CHIPSELECTS	2
#define SIMSPI_MODELLED		1
#define SIMSPI_MAX_SPEED_HZ	50000000

/* What a model reads; every field in the order of bytes of the machine. */
struct simspi_request {
	u32 length;
	u32 speed_hz;
	u32 mode;
	u8 chip_select;
	u8 bits_per_word;
	u8 cs_active;
	u8 reserved;
};

enum simspi_state {
	SIMSPI_IDLE,
	SIMSPI_POSTED,		/* there for the model to read */
	SIMSPI_TAKEN,		/* read, the answer is due */
};

struct simspi {
	struct miscdevice misc;
	struct mutex exchange;	/* held from a request until its answer */
	struct mutex lock;	/* guards everything below */
	wait_queue_head_t changed;
	struct completion answered;
	enum simspi_state state;
	struct simspi_request request;
	const void *tx;
	void *rx;
	int result;
	bool modelled;
};

static struct simspi *simspi_of_file(struct file *file)
{
	return container_of(file->private_data, struct simspi, misc);
}

/* Ask the model; -ENODEV if there is none. */
static int simspi_ask(struct simspi *simspi,
		      const struct simspi_request *request,
		      const void *tx, void *rx)
{
	int result = -ENODEV;

	mutex_lock(&simspi->exchange);
	mutex_lock(&simspi->lock);
	if (!simspi->modelled)
		goto done;
	simspi->request = *request;
	simspi->tx = tx;
	simspi->rx = rx;
	simspi->result = -ETIMEDOUT;
	reinit_completion(&simspi->answered);
	WRITE_ONCE(simspi->state, SIMSPI_POSTED);
	mutex_unlock(&simspi->lock);

	wake_up_interruptible(&simspi->changed);
	wait_for_completion_timeout(&simspi->answered, 2 * HZ);

	mutex_lock(&simspi->lock);
	WRITE_ONCE(simspi->state, SIMSPI_IDLE);
	result = simspi->result;
done:
	mutex_unlock(&simspi->lock);
	mutex_unlock(&simspi->exchange);
	return result;
}

/* End the request that is under way; the lock is held. */
static void simspi_finish(struct simspi *simspi, int result)
{
	WRITE_ONCE(simspi->state, SIMSPI_IDLE);
	simspi->result = result;
	complete(&simspi->answered);
}

static void simspi_set_cs(struct spi_device *spi, bool level)
{
	struct simspi *simspi = spi_controller_get_devdata(spi->controller);
	struct simspi_request request = {
		.mode = spi->mode,
		.chip_select = spi_get_chipselect(spi, 0),
		.cs_active = level == !!(spi->mode & SPI_CS_HIGH),
	};

	if (request.chip_select == SIMSPI_MODELLED && !(spi->mode & SPI_NO_CS))
		simspi_ask(simspi, &request, NULL, NULL);
}

static int simspi_transfer_one(struct spi_controller *controller,
			       struct spi_device *spi,
			       struct spi_transfer *transfer)
{
	struct simspi *simspi = spi_controller_get_devdata(controller);
	struct simspi_request request = {
		.length = transfer->len,
		.speed_hz = transfer->speed_hz,
		.mode = spi->mode,
		.chip_select = spi_get_chipselect(spi, 0),
		.bits_per_word = transfer->bits_per_word,
		.cs_active = !(spi->mode & SPI_NO_CS),
	};
	int result;

	transfer->effective_speed_hz = transfer->speed_hz;
	if (request.chip_select == SIMSPI_MODELLED && !(spi->mode & SPI_LOOP)) {
		result = simspi_ask(simspi, &request, transfer->tx_buf,
				    transfer->rx_buf);
		if (result != -ENODEV)
			return result;
		if (transfer->rx_buf)
			memset(transfer->rx_buf, 0xff, transfer->len);
		return 0;
	}
	if (transfer->rx_buf && transfer->tx_buf)
		memcpy(transfer->rx_buf, transfer->tx_buf, transfer->len);
	else if (transfer->rx_buf)
		memset(transfer->rx_buf, 0, transfer->len);
	return 0;
}

static int simspi_open(struct inode *inode, struct file *file)
{
	struct simspi *simspi = simspi_of_file(file);
	int result = 0;

	mutex_lock(&simspi->lock);
	if (simspi->modelled)
		result = -EBUSY;
	simspi->modelled = true;
	mutex_unlock(&simspi->lock);
	return result ? result : nonseekable_open(inode, file);
}

static int simspi_release(struct inode *inode, struct file *file)
{
	struct simspi *simspi = simspi_of_file(file);

	mutex_lock(&simspi->lock);
	simspi->modelled = false;
	if (simspi->state != SIMSPI_IDLE)
		simspi_finish(simspi, -EIO);
	mutex_unlock(&simspi->lock);
	return 0;
}

/* Copy the request and its bytes; the lock is held. */
static ssize_t simspi_take(struct simspi *simspi, char __user *buffer,
			   size_t size)
{
	const struct simspi_request *request = &simspi->request;
	char __user *bytes = buffer + sizeof(*request);
	unsigned long missed;

	if (simspi->state != SIMSPI_POSTED)
		return -EAGAIN;
	if (size < sizeof(*request) + request->length)
		return -EMSGSIZE;
	if (copy_to_user(buffer, request, sizeof(*request)))
		return -EFAULT;
	if (simspi->tx)
		missed = copy_to_user(bytes, simspi->tx, request->length);
	else
		missed = clear_user(bytes, request->length);
	if (missed)
		return -EFAULT;
	WRITE_ONCE(simspi->state, SIMSPI_TAKEN);
	return sizeof(*request) + request->length;
}

static ssize_t simspi_read(struct file *file, char __user *buffer, size_t size,
			   loff_t *offset)
{
	struct simspi *simspi = simspi_of_file(file);
	ssize_t result;

	for (;;) {
		mutex_lock(&simspi->lock);
		result = simspi_take(simspi, buffer, size);
		mutex_unlock(&simspi->lock);
		if (result != -EAGAIN || file->f_flags & O_NONBLOCK)
			return result;
		result = wait_event_interruptible(simspi->changed,
				READ_ONCE(simspi->state) == SIMSPI_POSTED);
		if (result)
			return result;
	}
}

static ssize_t simspi_write(struct file *file, const char __user *buffer,
			    size_t size, loff_t *offset)
{
	struct simspi *simspi = simspi_of_file(file);
	ssize_t result = size;

	mutex_lock(&simspi->lock);
	if (simspi->state != SIMSPI_TAKEN)
		result = -EPIPE;	/* nothing was asked, or too late */
	else if (size != simspi->request.length)
		result = -EINVAL;
	else if (simspi->rx && copy_from_user(simspi->rx, buffer, size))
		result = -EFAULT;
	else
		simspi_finish(simspi, 0);
	mutex_unlock(&simspi->lock);
	return result;
}

static __poll_t simspi_poll(struct file *file, poll_table *wait)
{
	struct simspi *simspi = simspi_of_file(file);

	poll_wait(file, &simspi->changed, wait);
	switch (READ_ONCE(simspi->state)) {
	case SIMSPI_POSTED:
		return EPOLLIN | EPOLLRDNORM;
	case SIMSPI_TAKEN:
		return EPOLLOUT | EPOLLWRNORM;
	default:
		return 0;
	}
}

static const struct file_operations simspi_fops = {
	.owner = THIS_MODULE,
	.open = simspi_open,
	.release = simspi_release,
	.read = simspi_read,
	.write = simspi_write,
	.poll = simspi_poll,
};

static void simspi_deregister(void *misc)
{
	misc_deregister(misc);
}

static int simspi_add_devices(struct spi_controller *controller)
{
	struct spi_board_info info = {
		.modalias = "dh2228fv",	/* one of the names spidev goes by */
		.max_speed_hz = 10000000,
	};

	for (; info.chip_select < SIMSPI_CHIPSELECTS; info.chip_select++)
		if (!spi_new_device(controller, &info))
			return -ENODEV;
	return 0;
}

static int simspi_probe(struct faux_device *faux)
{
	struct device *dev = &faux->dev;
	struct spi_controller *controller;
	struct simspi *simspi;
	int result;

	controller = devm_spi_alloc_host(dev, sizeof(*simspi));
	if (!controller)
		return -ENOMEM;
	controller->bus_num = 0;
	controller->num_chipselect = SIMSPI_CHIPSELECTS;
	controller->mode_bits = SPI_CPHA | SPI_CPOL | SPI_CS_HIGH |
				SPI_LSB_FIRST | SPI_3WIRE | SPI_LOOP |
				SPI_NO_CS;
	controller->bits_per_word_mask = SPI_BPW_RANGE_MASK(1, 32);
	controller->max_speed_hz = SIMSPI_MAX_SPEED_HZ;
	controller->set_cs = simspi_set_cs;
	controller->transfer_one = simspi_transfer_one;

	simspi = spi_controller_get_devdata(controller);
	mutex_init(&simspi->exchange);
	mutex_init(&simspi->lock);
	init_waitqueue_head(&simspi->changed);
	init_completion(&simspi->answered);
	simspi->misc.minor = MISC_DYNAMIC_MINOR;
	simspi->misc.name = "simspi";
	simspi->misc.fops = &simspi_fops;
	result = misc_register(&simspi->misc);
	if (result)
		return result;
	result = devm_add_action_or_reset(dev, simspi_deregister, &simspi->misc);
	if (result)
		return result;

	result = devm_spi_register_controller(dev, controller);
	return result ? result : simspi_add_devices(controller);
}

static const struct faux_device_ops simspi_faux_ops = {
	.probe = simspi_probe,
};

static struct faux_device *simspi_device;

static int __init simspi_init(void)
{
	simspi_device = faux_device_create("simspi", NULL, &simspi_faux_ops);
	return simspi_device ? 0 : -ENODEV;
}
module_init(simspi_init);

static void __exit simspi_exit(void)
{
	faux_device_destroy(simspi_device);
}
module_exit(simspi_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Simulated SPI controller with devices modelled in user space");
