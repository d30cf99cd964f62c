"""CLIP-DINOiser's heads from images without labels, as published: 1000 images of ImageNet, 100 epochs of 16.

    python tools/train.py configs/dinoiser_train.py --cfg-options train_dataloader.dataset.root=data/imagenet/train

The heads then lie in `work_dirs/dinoiser_train` as `heads.safetensors` and, in the published layout, `last.pt`. Losses
are in `vis_data/scalars.json` there; for TensorBoard add `visualizer.vis_backends.0.type=TensorboardVisBackend`.
Under torchrun each process takes a batch of its own. On a small machine add `--amp`, and four times four images to a
step: `train_dataloader.batch_size=4 optim_wrapper.accumulative_counts=4
param_scheduler.0.milestones=[20000]`.
Published heads reach 40.3 mIoU in the mean of eight sets; `configs/dinoiser_*.py` measure it.
"""

from mmengine.dataset import default_collate
from mmengine.optim import MultiStepLR, OptimWrapper
from torch.optim import AdamW

from densevl.training.dinoiser import DinoiserTraining
from densevl.training.export import ExportHeads
from densevl.datasets.training.image_folder import EpochSampler, ImageFolder

model = dict(
    type=DinoiserTraining,
    encoder=dict(type="clip", weights="clip-vit-b16-laion2b"),
    teacher=dict(
        type="teachers",
        encoder=dict(type="dino", weights="dino-vit-b16"),
        part="value",
        gamma=0.2,
        foreground_encoder=dict(type="dino", weights="dino-vit-s8-300ep"),
        decoder=dict(weights="found"),
    ),
)
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    sampler=dict(type=EpochSampler, shuffle=True, seed=0),
    collate_fn=dict(type=default_collate),
    dataset=dict(type=ImageFolder, root="data/imagenet/train", count=1000, size=448, brightness=0.5, seed=0),
)
optim_wrapper = dict(
    type=OptimWrapper,
    optimizer=dict(type=AdamW, lr=5e-5, weight_decay=0.01),
    paramwise_cfg=dict(custom_keys=dict(bkg_decoder=dict(lr_mult=200))),  # 1e-2
)
param_scheduler = [dict(type=MultiStepLR, by_epoch=False, milestones=[5000], gamma=0.1)]
model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)  # a CPU has none
train_cfg = dict(by_epoch=True, max_epochs=100)
default_hooks = dict(
    checkpoint=dict(type="CheckpointHook", interval=1, max_keep_ckpts=2), logger=dict(type="LoggerHook", interval=20)
)
visualizer = dict(type="Visualizer", vis_backends=[dict(type="LocalVisBackend")])
custom_hooks = [dict(type=ExportHeads)]
