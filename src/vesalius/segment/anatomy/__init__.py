"""Recipes without weights: one function per body part, `Volume` in, `Mask` with coded segments out.

Family `anatomy`. Parameters are keyword-only; every one has a default that finds the value in the image.

`lungs:lungs` (CT; 2-D axial slice, 3-D): body, left_lung, right_lung, airways
    closing_mm: number, mm, None - radius of the ball that adds vessels and nodules at the pleura; 0 adds none; None:
        25 in a series, 10 in a single slice
    low_hu, high_hu: number, HU, None - HU of the darkest and brightest stored value of a windowed picture, both or
        neither; None: HU if the image is in HU, else estimated from air and soft tissue
    mirrored: yes or no, no - a picture without patient coordinates shows the patient's left on its left
`head_ct:intracranial` (CT; 2-D axial slice, 3-D): skull, intracranial
    closing_mm: number, mm, 12 - widest gap of the skull (sutures, burr holes) that is bridged
    low_hu, high_hu: as in lungs
`breast:breast` (MG; 2-D): breast (its code says left or right), pectoral_muscle
    chest_wall: word, "auto" | "left" | "right" - side of the picture at which the chest wall lies
    pectoral: yes or no, yes - look for the muscle
`retina:retina` (OP; 2-D, colour or one channel): field_of_view, vessels
    sensitivity: number, 0.5 - 0 finds only clear vessels, 1 the faintest
    widest: number, 0.014 - diameter of the widest vessel as a part of the field's diameter
`ultrasound:ultrasound_sector` (US; 2-D): sector, annotation
    tolerance: number, 0.5 - how readily bright small objects count as annotation; 0 none, 1 all that may be one

The parts of a mask exclude each other: the whole body is all labels of `lungs`, the field of view both of `retina`.
"""
