"""A runner that can be killed and resumed without a trace, and that executes nothing it loads.

MMEngine's runner with three things changed: checkpoints hold tensors and simple values, are read under ``weights_only``
and are written atomically; a resumed run continues with the random generators and the samples of an uninterrupted one,
so both end with the same weights; and validation leaves the random generators as it found them. Equality holds where a
sample is a function of its index, or is drawn in the main process (``num_workers=0``).
"""

import itertools
import logging
import time
from pathlib import Path
from typing import Any

from mmengine.dataset import InfiniteSampler
from mmengine.device import get_device
from mmengine.dist import all_gather_object, is_main_process
from mmengine.logging import MMLogger
from mmengine.registry import LOOPS, RUNNERS
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.runner.loops import _InfiniteDataloaderIterator
from torch import nn

from densevl.core.errors import UsageError, WeightsError
from densevl.training.checkpoints import (
    AtomicCheckpointHook,
    latest_checkpoint,
    random_state,
    read_checkpoint,
    restore_history,
    set_random_state,
    unwrapped,
    write_checkpoint,
)

__all__ = ["ResumableIterLoop", "SafeRunner"]


class OneLine(logging.Filter):
    """Keeps reports of many lines (environment, config, hooks) out of the terminal; the log file has them."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or "\n" not in record.getMessage().strip()


@LOOPS.register_module()
class ResumableIterLoop(IterBasedTrainLoop):
    """MMEngine's loop over iterations, resumed by skipping indices instead of loading every sample again."""

    def run(self) -> nn.Module:
        """Train from the current iteration to the last."""
        self.runner.call_hook("before_train")
        self.runner.call_hook("before_train_epoch")
        if self._iter > 0:
            self._skip_seen()
            self.runner.restore_random_state()
        while self._iter < self._max_iters and not self.stop_training:
            self.runner.model.train()
            self.run_iter(next(self.dataloader_iterator))
            self._decide_current_val_interval()
            if self._validation_is_due():
                state = random_state()
                self.runner.val_loop.run()
                set_random_state(state)
        self.runner.call_hook("after_train_epoch")
        self.runner.call_hook("after_train")
        return self.runner.model

    def _validation_is_due(self) -> bool:
        if self.runner.val_loop is None or self._iter < self.val_begin:
            return False
        return self._iter % self.val_interval == 0 or self._iter == self._max_iters

    def _skip_seen(self) -> None:
        """Move the sampler to the first sample of the next iteration."""
        sampler = self.dataloader.sampler
        if isinstance(sampler, InfiniteSampler):
            seen = self._iter * self.dataloader.batch_size
            sampler.indices = itertools.islice(sampler._indices_of_rank(), seen, None)
            self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        elif hasattr(self.dataloader.dataset, "skip"):  # a stream, which knows how to pass over what was seen
            self.dataloader.dataset.skip(self._iter, self.dataloader.batch_size)
            self.dataloader_iterator = _InfiniteDataloaderIterator(self.dataloader)
        else:
            for _ in range(self._iter):
                next(self.dataloader_iterator)


@RUNNERS.register_module()
class SafeRunner(Runner):
    """MMEngine's runner with safe, atomic, exactly resumable checkpoints. Takes the same arguments and configs.

    The seed is 0 unless the config sets ``randomness``. ``train_cfg`` with ``by_epoch=False`` means
    :class:`ResumableIterLoop`, and then logs and checkpoints count iterations too.
    """

    _load_from: Any
    _random_states: list[dict[str, Any]] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        randomness = kwargs.get("randomness") or {}
        kwargs["randomness"] = {**randomness, "seed": randomness.get("seed") or 0}
        self._by_epoch = (kwargs.get("train_cfg") or {}).get("by_epoch", True)
        if isinstance(kwargs.get("log_processor") or {}, dict):
            kwargs["log_processor"] = {"by_epoch": self._by_epoch, **(kwargs.get("log_processor") or {})}
        # MMEngine tells runs apart by the second, and lets a second run of that second write into the first one's logs.
        kwargs["experiment_name"] = f"{kwargs.get('experiment_name') or 'training'}_{time.time_ns()}"
        super().__init__(*args, **kwargs)

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """MMEngine's logger, with long reports in the file alone."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if not isinstance(handler, logging.FileHandler):
                handler.addFilter(OneLine())
        return logger

    def wrap_model(self, model_wrapper_cfg: Any, model: nn.Module) -> nn.Module:
        """Wrap the model where there are several processes; MMEngine's default is for GPUs alone."""
        if self.distributed and model_wrapper_cfg is None and get_device() == "cpu":
            model_wrapper_cfg = {"type": "MMDistributedDataParallel", "device_ids": None, "broadcast_buffers": False}
        return super().wrap_model(model_wrapper_cfg, model)

    def build_train_loop(self, loop: Any) -> Any:
        """Build the training loop; iterations are counted by :class:`ResumableIterLoop`."""
        if isinstance(loop, dict) and loop.get("by_epoch") is False:
            loop = {key: value for key, value in loop.items() if key != "by_epoch"} | {"type": ResumableIterLoop}
        return super().build_train_loop(loop)

    def register_default_hooks(self, hooks: dict[str, Any] | None = None) -> None:
        """Register the default hooks, the atomic checkpoint hook in the place of MMEngine's.

        Figures of a validation are logged at the iteration where iterations are counted; MMEngine would say epoch 0.
        """
        hooks = dict(hooks or {})
        logger = hooks.get("logger", {"type": "LoggerHook"})
        if isinstance(logger, dict):
            hooks["logger"] = {"log_metric_by_epoch": self._by_epoch, **logger}
        checkpoint = hooks.get("checkpoint", {"interval": 1})
        if isinstance(checkpoint, dict) and checkpoint.get("type", "CheckpointHook") == "CheckpointHook":
            hooks["checkpoint"] = {"by_epoch": self._by_epoch, **checkpoint, "type": AtomicCheckpointHook}
        super().register_default_hooks(hooks)

    def load_or_resume(self) -> None:
        """Load or resume what ``load_from`` and ``resume`` ask for; the work folder may have been moved."""
        if self._resume and self._load_from is None and not self._has_loaded:
            self._load_from = latest_checkpoint(self.work_dir)
            if self._load_from is None:
                self.logger.info(f"{self.work_dir} holds no checkpoint yet: starting from the beginning")
        super().load_or_resume()

    def load_checkpoint(
        self, filename: str | Path, map_location: Any = "cpu", strict: bool = True, revise_keys: Any = ()
    ) -> dict[str, Any]:
        """Read a checkpoint, or a file of weights alone, and load its weights into the model.

        Args:
            filename: local path.
            map_location: ignored; the file is read onto the CPU and copied into the model where that is.
            strict: whether every weight must match.
            revise_keys: ignored; kept for MMEngine's signature.

        Raises:
            WeightsError: where the file cannot be read or belongs to another model.
        """
        checkpoint = read_checkpoint(filename)
        self.call_hook("after_load_checkpoint", checkpoint=checkpoint)
        model = unwrapped(self)
        try:
            model.load_state_dict(checkpoint.get("state_dict", checkpoint), strict=strict)
        except (RuntimeError, AttributeError, TypeError) as error:
            raise WeightsError(f"checkpoint {filename} does not fit {type(model).__name__}: {error}") from error
        self._has_loaded = True
        self.logger.info(f"loaded {filename}")
        return checkpoint

    def resume(
        self,
        filename: str | Path,
        resume_optimizer: bool = True,
        resume_param_scheduler: bool = True,
        map_location: Any = "cpu",
    ) -> None:
        """Continue the run that wrote a checkpoint, as if it had not stopped.

        Raises:
            WeightsError: where the file is not a training checkpoint of this model.
            UsageError: where the run was seeded differently.
        """
        checkpoint = self.load_checkpoint(filename)
        if missing := {"meta", "message_hub"} - checkpoint.keys():
            raise WeightsError(f"{filename} lacks {sorted(missing)}: it holds weights, not the state of a training")
        meta = checkpoint["meta"]
        if meta["seed"] != self.seed:
            raise UsageError(f"{filename} comes from a run with seed {meta['seed']}; this one has {self.seed}")
        self.train_loop._epoch, self.train_loop._iter = meta["epoch"], meta["iter"]
        self.message_hub.load_state_dict(restore_history(checkpoint["message_hub"]))
        if resume_optimizer:
            self.optim_wrapper.load_state_dict(checkpoint["optimizer"])
        if resume_param_scheduler and self.param_schedulers is not None:
            for scheduler, state in zip(self.param_schedulers, checkpoint["param_schedulers"], strict=True):
                scheduler.load_state_dict(state)
        self._restore_gradients(checkpoint.get("gradients", {}))
        self._random_states = checkpoint["random_states"]
        if not isinstance(self.train_loop, ResumableIterLoop):
            self.restore_random_state()
        self.logger.info(f"resumed at epoch {self.epoch}, iteration {self.iter}")

    def _restore_gradients(self, gradients: dict[str, Any]) -> None:
        """Gradients of an accumulation that was not complete; there are none where each iteration is a step."""
        for name, parameter in self.model.named_parameters():
            if name in gradients:
                parameter.grad = gradients[name].to(parameter)

    def restore_random_state(self) -> None:
        """Put the random generators back to where the resumed run had left them."""
        states = self._random_states or []
        if len(states) == self.world_size:
            set_random_state(states[self.rank])
        else:
            self.logger.warning(
                f"the run had {len(states)} processes and now has {self.world_size}: it continues with other samples"
            )

    def save_checkpoint(
        self,
        out_dir: str,
        filename: str,
        file_client_args: Any = None,
        save_optimizer: bool = True,
        save_param_scheduler: bool = True,
        meta: dict[str, Any] | None = None,
        by_epoch: bool = True,
        backend_args: Any = None,
    ) -> None:
        """Write the state of the training, atomically and as simple values. Every process must call this.

        Args:
            out_dir: folder.
            filename: name in the folder.
            file_client_args: ignored, as is ``backend_args``; kept for MMEngine's signature.
            save_optimizer: whether to keep the optimizer's state.
            save_param_scheduler: whether to keep the schedulers' states.
            meta: epoch and iteration reached, where they are not what the loop says.
            by_epoch: whether an epoch has just ended, or an iteration.
            backend_args: ignored.
        """
        random_states = all_gather_object(random_state())
        if not is_main_process():
            return
        reached = {"epoch": self.epoch + by_epoch, "iter": self.iter + (not by_epoch)}
        model = unwrapped(self)
        checkpoint = {
            "meta": {**reached, **(meta or {}), "seed": self.seed, "cfg": self.cfg.pretty_text},
            "state_dict": model.state_dict(),
            "message_hub": self.message_hub.state_dict(),
            "random_states": random_states,
            "gradients": {name: p.grad for name, p in model.named_parameters() if p.grad is not None},
        }
        if save_optimizer:
            checkpoint["optimizer"] = self.optim_wrapper.state_dict()
        if save_param_scheduler:
            checkpoint["param_schedulers"] = [scheduler.state_dict() for scheduler in self.param_schedulers or ()]
        self.call_hook("before_save_checkpoint", checkpoint=checkpoint)
        write_checkpoint(Path(out_dir) / filename, checkpoint)
