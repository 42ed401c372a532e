// SPDX-License-Identifier: GPL-2.0
/*
 * A PWM chip without pins: the kernel's PWM core and its sysfs interface on
 * registers that are plain memory.
 *
 * Like hardware with a 100 MHz clock and 32-bit counters: times are rounded
 * down to 10 ns, a period is at most 42.9 s. A state outlives the export of
 * its channel, as registers would.
 */
#include <linux/device/faux.h>
#include <linux/err.h>
#include <linux/math64.h>
#include <linux/module.h>
#include <linux/pwm.h>

#define SIMPWM_CHANNELS	2
#define SIMPWM_TICK_NS	10

struct simpwm_channel {
	u32 period_ticks;
	u32 duty_ticks;
	enum pwm_polarity polarity;
	bool enabled;
};

struct simpwm {
	struct simpwm_channel channels[SIMPWM_CHANNELS];
};

static struct simpwm_channel *simpwm_channel(struct pwm_chip *chip,
					     struct pwm_device *pwm)
{
	struct simpwm *simpwm = pwmchip_get_drvdata(chip);

	return &simpwm->channels[pwm->hwpwm];
}

static int simpwm_apply(struct pwm_chip *chip, struct pwm_device *pwm,
			const struct pwm_state *state)
{
	struct simpwm_channel *channel = simpwm_channel(chip, pwm);
	u64 period_ticks = div_u64(state->period, SIMPWM_TICK_NS);

	if (state->enabled && !period_ticks)
		return -EINVAL;
	if (period_ticks > U32_MAX)
		return -ERANGE;

	channel->period_ticks = period_ticks;
	channel->duty_ticks = div_u64(state->duty_cycle, SIMPWM_TICK_NS);
	channel->polarity = state->polarity;
	channel->enabled = state->enabled;
	return 0;
}

static int simpwm_get_state(struct pwm_chip *chip, struct pwm_device *pwm,
			    struct pwm_state *state)
{
	const struct simpwm_channel *channel = simpwm_channel(chip, pwm);

	state->period = (u64)channel->period_ticks * SIMPWM_TICK_NS;
	state->duty_cycle = (u64)channel->duty_ticks * SIMPWM_TICK_NS;
	state->polarity = channel->polarity;
	state->enabled = channel->enabled;
	return 0;
}

static const struct pwm_ops simpwm_ops = {
	.apply = simpwm_apply,
	.get_state = simpwm_get_state,
};

static int simpwm_probe(struct faux_device *faux)
{
	struct pwm_chip *chip;

	chip = devm_pwmchip_alloc(&faux->dev, SIMPWM_CHANNELS,
				  sizeof(struct simpwm));
	if (IS_ERR(chip))
		return PTR_ERR(chip);
	chip->ops = &simpwm_ops;
	return devm_pwmchip_add(&faux->dev, chip);
}

static const struct faux_device_ops simpwm_faux_ops = {
	.probe = simpwm_probe,
};

static struct faux_device *simpwm_device;

static int __init simpwm_init(void)
{
	simpwm_device = faux_device_create("simpwm", NULL, &simpwm_faux_ops);
	return simpwm_device ? 0 : -ENODEV;
}
module_init(simpwm_init);

static void __exit simpwm_exit(void)
{
	faux_device_destroy(simpwm_device);
}
module_exit(simpwm_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Simulated PWM chip");
